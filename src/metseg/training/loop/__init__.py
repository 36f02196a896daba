"""The training loop: Lightning module, callbacks, checkpoints, several processes, progress."""
