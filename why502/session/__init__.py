"""What a command, a page or an agent asks for, independent of its options: which machine to look at, and how its logs are read."""
