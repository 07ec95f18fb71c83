"""What others measured, and published, beside what hubvram says."""
