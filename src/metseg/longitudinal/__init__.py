"""Follow the lesions of a patient over examinations: registration, matching, change of size, response criteria."""
