"""In: registered versions and their verdicts. Out: releases, answers, the log of what was served.

May import: settings, errors, lake, models. The serving process needs numpy alone of all of it.
"""
