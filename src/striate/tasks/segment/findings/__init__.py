"""How good a segmentation is: functions that return one Finding each."""
