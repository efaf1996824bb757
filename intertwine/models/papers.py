"""The papers of the architectures, by the name that the command line uses; the first one is the architecture's own.

``intertwine cite RUN`` prints them. A model's card names the first one in short.
"""

from __future__ import annotations

from intertwine.models.papers_of_groups import PAPERS_OF_GROUPS
from intertwine.nn.paper import EGNN_PAPER, Paper

_GILMER = Paper(
    "gilmer2017mpnn",
    ("Justin Gilmer", "Samuel S. Schoenholz", "Patrick F. Riley", "Oriol Vinyals", "George E. Dahl"),
    "Neural Message Passing for Quantum Chemistry",
    2017,
    "International Conference on Machine Learning",
    "1704.01212",
)
#: Architecture -> its paper, and those that its parts are from.
PAPERS: dict[str, tuple[Paper, ...]] = {
    "clifford": (
        Paper(
            "ruhe2023clifford",
            ("David Ruhe", "Johannes Brandstetter", "Patrick Forré"),
            "Clifford Group Equivariant Neural Networks",
            2023,
            "Advances in Neural Information Processing Systems",
            "2305.11141",
        ),
        Paper(
            "liu2024multivector",
            ("Cong Liu", "David Ruhe", "Patrick Forré"),
            "Multivector Neurons: Better and Faster O(n)-Equivariant Clifford Graph Neural Networks",
            2024,
            arxiv="2406.04052",
        ),
    ),
    "cormorant": (
        Paper(
            "anderson2019cormorant",
            ("Brandon Anderson", "Truong-Son Hy", "Risi Kondor"),
            "Cormorant: Covariant Molecular Neural Networks",
            2019,
            "Advances in Neural Information Processing Systems",
            "1906.04015",
        ),
    ),
    "dimenet": (
        Paper(
            "gasteiger2020dimenetpp",
            ("Johannes Gasteiger", "Shankari Giri", "Johannes T. Margraf", "Stephan Günnemann"),
            "Fast and Uncertainty-Aware Directional Message Passing for Non-Equilibrium Molecules",
            2020,
            arxiv="2011.14115",
        ),
        Paper(
            "gasteiger2020dimenet",
            ("Johannes Gasteiger", "Janek Groß", "Stephan Günnemann"),
            "Directional Message Passing for Molecular Graphs",
            2020,
            "International Conference on Learning Representations",
            "2003.03123",
        ),
    ),
    "egnn": (EGNN_PAPER,),
    "eqgat": (
        Paper(
            "le2022eqgat",
            ("Tuan Le", "Frank Noé", "Djork-Arné Clevert"),
            "Equivariant Graph Attention Networks for Molecular Property Prediction",
            2022,
            arxiv="2202.09891",
        ),
    ),
    "esen": (
        Paper(
            "fu2025esen",
            (
                "Xiang Fu",
                "Brandon M. Wood",
                "Luis Barroso-Luque",
                "Daniel S. Levine",
                "Meng Gao",
                "Misko Dzamba",
                "C. Lawrence Zitnick",
            ),
            "Learning Smooth and Expressive Interatomic Potentials for Physical Property Prediction",
            2025,
            arxiv="2502.12147",
        ),
        Paper(
            "liao2024equiformerv2",
            ("Yi-Lun Liao", "Brandon Wood", "Abhishek Das", "Tess Smidt"),
            "EquiformerV2: Improved Equivariant Transformer for Scaling to Higher-Degree Representations",
            2024,
            "International Conference on Learning Representations",
            "2306.12059",
        ),
        Paper(
            "passaro2023escn",
            ("Saro Passaro", "C. Lawrence Zitnick"),
            "Reducing SO(3) Convolutions to SO(2) for Efficient Equivariant GNNs",
            2023,
            "International Conference on Machine Learning",
            "2302.03655",
        ),
    ),
    "faenet": (
        Paper(
            "duval2023faenet",
            (
                "Alexandre Duval",
                "Victor Schmidt",
                "Alex Hernández-García",
                "Santiago Miret",
                "Fragkiskos D. Malliaros",
                "Yoshua Bengio",
                "David Rolnick",
            ),
            "FAENet: Frame Averaging Equivariant GNN for Materials Modeling",
            2023,
            "International Conference on Machine Learning",
            "2305.05577",
        ),
    ),
    "frame_averaged_gnn": (
        Paper(
            "puny2022frame",
            (
                "Omri Puny",
                "Matan Atzmon",
                "Heli Ben-Hamu",
                "Ishan Misra",
                "Aditya Grover",
                "Edward J. Smith",
                "Yaron Lipman",
            ),
            "Frame Averaging for Invariant and Equivariant Network Design",
            2022,
            "International Conference on Learning Representations",
            "2110.03336",
        ),
    ),
    "frame_transformer": (
        Paper(
            "vaswani2017attention",
            (
                "Ashish Vaswani",
                "Noam Shazeer",
                "Niki Parmar",
                "Jakob Uszkoreit",
                "Llion Jones",
                "Aidan N. Gomez",
                "Łukasz Kaiser",
                "Illia Polosukhin",
            ),
            "Attention Is All You Need",
            2017,
            "Advances in Neural Information Processing Systems",
            "1706.03762",
        ),
        Paper(
            "pozdnyakov2023smooth",
            ("Sergey N. Pozdnyakov", "Michele Ceriotti"),
            "Smooth, exact rotational symmetrization for deep learning on point clouds",
            2023,
            "Advances in Neural Information Processing Systems",
            "2305.19302",
        ),
    ),
    "gemnet": (
        Paper(
            "gasteiger2021gemnet",
            ("Johannes Gasteiger", "Florian Becker", "Stephan Günnemann"),
            "GemNet: Universal Directional Graph Neural Networks for Molecules",
            2021,
            "Advances in Neural Information Processing Systems",
            "2106.08903",
        ),
    ),
    "gvp": (
        Paper(
            "jing2021equivariant",
            ("Bowen Jing", "Stephan Eismann", "Pratham N. Soni", "Ron O. Dror"),
            "Equivariant Graph Neural Networks for 3D Macromolecular Structure",
            2021,
            arxiv="2106.03843",
        ),
        Paper(
            "jing2021gvp",
            ("Bowen Jing", "Stephan Eismann", "Patricia Suriana", "Raphael J. L. Townshend", "Ron Dror"),
            "Learning from Protein Structure with Geometric Vector Perceptrons",
            2021,
            "International Conference on Learning Representations",
            "2009.01411",
        ),
    ),
    "invariant_mpnn": (_GILMER,),
    "invariant_point_attention": (
        Paper(
            "jumper2021alphafold",
            ("John Jumper", "Richard Evans", "Alexander Pritzel", "others"),
            "Highly accurate protein structure prediction with AlphaFold",
            2021,
            "Nature 596, 583",
            doi="10.1038/s41586-021-03819-2",
        ),
    ),
    "local_frames": (
        Paper(
            "kofinas2021locs",
            ("Miltiadis Kofinas", "Naveen Shankar Nagaraja", "Efstratios Gavves"),
            "Roto-translated Local Coordinate Frames For Interacting Dynamical Systems",
            2021,
            "Advances in Neural Information Processing Systems",
            "2110.14961",
        ),
    ),
    "mace": (
        Paper(
            "batatia2022mace",
            ("Ilyes Batatia", "Dávid Péter Kovács", "Gregor N. C. Simm", "Christoph Ortner", "Gábor Csányi"),
            "MACE: Higher Order Equivariant Message Passing Neural Networks for Fast and Accurate Force Fields",
            2022,
            "Advances in Neural Information Processing Systems",
            "2206.07697",
        ),
    ),
    "mpnn": (_GILMER,),
    "nequip": (
        Paper(
            "batzner2022nequip",
            (
                "Simon Batzner",
                "Albert Musaelian",
                "Lixin Sun",
                "Mario Geiger",
                "Jonathan P. Mailoa",
                "Mordechai Kornbluth",
                "Nicola Molinari",
                "Tess E. Smidt",
                "Boris Kozinsky",
            ),
            "E(3)-equivariant graph neural networks for data-efficient and accurate interatomic potentials",
            2022,
            "Nature Communications 13, 2453",
            "2101.03164",
            "10.1038/s41467-022-29939-5",
        ),
    ),
    "painn": (
        Paper(
            "schutt2021painn",
            ("Kristof T. Schütt", "Oliver T. Unke", "Michael Gastegger"),
            "Equivariant message passing for the prediction of tensorial properties and molecular spectra",
            2021,
            "International Conference on Machine Learning",
            "2102.03150",
        ),
    ),
    "point_conv": (
        Paper(
            "wu2019pointconv",
            ("Wenxuan Wu", "Zhongang Qi", "Li Fuxin"),
            "PointConv: Deep Convolutional Networks on 3D Point Clouds",
            2019,
            "IEEE/CVF Conference on Computer Vision and Pattern Recognition",
            "1811.07246",
        ),
    ),
    "pointnet": (
        Paper(
            "qi2017pointnet",
            ("Charles R. Qi", "Hao Su", "Kaichun Mo", "Leonidas J. Guibas"),
            "PointNet: Deep Learning on Point Sets for 3D Classification and Segmentation",
            2017,
            "IEEE Conference on Computer Vision and Pattern Recognition",
            "1612.00593",
        ),
    ),
    "scalar_vector": (
        Paper(
            "joshi2023expressive",
            ("Chaitanya K. Joshi", "Cristian Bodnar", "Simon V. Mathis", "Taco Cohen", "Pietro Liò"),
            "On the Expressive Power of Geometric Graph Neural Networks",
            2023,
            "International Conference on Machine Learning",
            "2301.09308",
        ),
    ),
    "schnet": (
        Paper(
            "schutt2017schnet",
            (
                "Kristof T. Schütt",
                "Pieter-Jan Kindermans",
                "Huziel E. Sauceda",
                "Stefan Chmiela",
                "Alexandre Tkatchenko",
                "Klaus-Robert Müller",
            ),
            "SchNet: A continuous-filter convolutional neural network for modeling quantum interactions",
            2017,
            "Advances in Neural Information Processing Systems",
            "1706.08566",
        ),
    ),
    "se3_transformer": (
        Paper(
            "fuchs2020se3",
            ("Fabian B. Fuchs", "Daniel E. Worrall", "Volker Fischer", "Max Welling"),
            "SE(3)-Transformers: 3D Roto-Translation Equivariant Attention Networks",
            2020,
            "Advances in Neural Information Processing Systems",
            "2006.10503",
        ),
    ),
    "segnn": (
        Paper(
            "brandstetter2022segnn",
            ("Johannes Brandstetter", "Rob Hesselink", "Elise van der Pol", "Erik J. Bekkers", "Max Welling"),
            "Geometric and Physical Quantities Improve E(3) Equivariant Message Passing",
            2022,
            "International Conference on Learning Representations",
            "2110.02905",
        ),
    ),
    "tensor_field": (
        Paper(
            "thomas2018tensor",
            (
                "Nathaniel Thomas",
                "Tess Smidt",
                "Steven Kearnes",
                "Lusann Yang",
                "Li Li",
                "Kai Kohlhoff",
                "Patrick Riley",
            ),
            "Tensor field networks: Rotation- and translation-equivariant neural networks for 3D point clouds",
            2018,
            arxiv="1802.08219",
        ),
    ),
} | PAPERS_OF_GROUPS
