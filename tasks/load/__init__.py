"""What steps read: releases, models, encoders, weights."""
