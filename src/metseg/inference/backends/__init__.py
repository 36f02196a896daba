"""Programs that can run a network: torch, ONNX Runtime and OpenVINO. `BACKENDS` is the one table of them."""
