"""A report as a page: trains the experiments it names, tests its claims, and shows both.

plan     what a report file may contain, and the configs of its experiments
runner   reuses, resumes or trains the runs
claims   the rows of the table: each published number or statement with its verdict
page     figures, rows and what explains them, as HTML and Markdown
"""
