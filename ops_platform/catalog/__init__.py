"""In: what every room knows of its tables. Out: lineage by column, and the catalog as one page.

May import: every room. Nothing imports it but the graph and the prompt above the rooms.
"""
