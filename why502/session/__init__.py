"""What a command, page or agent works on, independent of its options: the machine to examine, and the formats of its logs."""
