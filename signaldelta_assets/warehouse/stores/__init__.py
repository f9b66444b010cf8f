"""One module per store: all SQL that writes a table group, and the reads that need its keys and times.

Import the module you need, ``from signaldelta_assets.warehouse.stores import signals``. What rows mean is decided in
the rooms that make them; here they are written once, read as of a moment, and never changed.
"""
