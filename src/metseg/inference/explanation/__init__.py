"""Maps that explain a prediction: Grad-CAM of any network, and the gates of attention networks."""
