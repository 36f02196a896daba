"""Pictures of images with their masks: overlays, planes, panels, contact sheets."""
