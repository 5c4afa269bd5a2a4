"""guided-diffusion (Dhariwal & Nichol 2021) and improved-diffusion (Nichol & Dhariwal 2021): their models' names."""
