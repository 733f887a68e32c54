"""Other libraries on the same systems; none of them is needed by anything but `make bench`."""
