"""The trainers that are compared: each module has `train(work) -> Result`, set-up not timed."""
