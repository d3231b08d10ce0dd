"""Graders: what makes a judge of answers from a target. They are named in views/grading.py."""
