"""A trained force field in other people's engines: LAMMPS, i-PI, torch-sim, phonopy."""
