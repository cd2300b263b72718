"""`make bench`: figures with their goals. What can be compared is measured in turn, in one run."""
