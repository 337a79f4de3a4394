"""Random networks by hand: `python tests/properties/fuzz_networks.py --count 20000 --seed 0 --jobs 2`."""

from random_networks.running import main

if __name__ == "__main__":
    raise SystemExit(main())
