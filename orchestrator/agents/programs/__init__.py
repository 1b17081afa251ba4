"""Coding agents on the command line: a file a program, for its call and its output."""
