"""`make soak`: a real fleet, upgraded back and forth and killed at random, judged all the time.

Belongs here: the schedule, who performs it, who watches, who judges, and the report.
Does not belong here: how to start or build things; that is the demo's, or the product's own.
"""
