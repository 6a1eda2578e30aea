"""Is a label right, is it stable, can it be relied on?"""
