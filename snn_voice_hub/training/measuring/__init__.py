"""What a checkpoint is worth: accuracy, calibration, noise, false alarms."""
