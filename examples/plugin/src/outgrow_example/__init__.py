"""An objective and a combiner for outgrow."""
