"""The whole of Vedette on one machine: no AWS account, no Docker, no root, loopback only."""
