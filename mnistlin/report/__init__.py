"""The report as a page: runs the experiments it names, judges what they give, and writes it down.

plan       what a report file may contain: experiments, parts, published numbers, tolerances
loading    from the file to its plan, and to the configs of all runs
reuse      which finished runs already are what is wanted
runner     trains what is missing
numbers    how they are written
verdicts   a published number or statement against the measured one
claims     what is measured for each kind of statement
findings   sentences about runs, each true of whatever the runs say
pictures   the figures that a part may ask for, with their alternative texts
page       all of it put together
rendering  the page as HTML and Markdown

Reading the YAML is left to `config`, drawing to `figures`, and each analysis to `analysis`.
"""
