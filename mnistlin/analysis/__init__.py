"""What can be found out about models and runs that are there; a module answers one question.

Functions of data and run folders that return values; printing and drawing are done elsewhere.
"""
