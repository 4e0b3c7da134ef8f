"""The trainers that are compared: each module has `train(workload) -> Result`, set-up not timed."""
