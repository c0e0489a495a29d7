"""How checkpoints are made and measured; each room imports only those below: study, fitting, measuring, clips."""
