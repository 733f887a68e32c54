"""What the board says of one experiment on one device."""
