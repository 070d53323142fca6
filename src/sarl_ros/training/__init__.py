"""Making the mini VLA: demonstrations, fitting, evaluation, model card."""
