"""How one head is computed: found in the model, taken apart, checked. What leaves is numpy."""
