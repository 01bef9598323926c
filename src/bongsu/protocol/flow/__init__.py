"""Flows as arrays: merged, told as changes, summed up and named. No loop goes over flows."""
