"""In: registered versions and their verdicts. Out: releases, answers, and the log of what was served.

May import: settings, errors, lake, models; what the serving process loads needs only numpy of them.
"""
