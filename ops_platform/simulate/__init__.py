"""In: the parameters of a small gift shop. Out: its order files, the same ones each time.

May import: settings.
"""
