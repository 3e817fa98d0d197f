"""What finds twins and wrong labels elsewhere, each run as a program of its own."""
