"""The stage and the bars around it: who stands where, what a tile shows, what can be pressed.

Read layout.py (geometry), slots.py (order), speaking.py (rings), which know no widgets; then
tile.py with picture.py and overlays.py, stage.py, which places the tiles, and frame_clock.py,
which decides when they repaint. The bars, menus, panel and banner show what `MeetingPage` tells
them. Belongs to the Qt thread.
"""
