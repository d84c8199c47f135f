"""Pictures of the tables: a function takes a table and gives a chart. Import them from their modules.

They are drawn in black, white and grey, tell groups apart by shape, dash and label, show the scale's ends, the 95 %
interval and how much data there is.
"""
