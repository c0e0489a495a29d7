"""The services that ours is compared with, each as its own documentation shows it; one file a program."""
