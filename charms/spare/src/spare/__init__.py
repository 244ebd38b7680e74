"""What the spare charm adds to harvest: its options, and how the program of any image runs."""
