"""Folders as the well-known data sets and annotation tools write them: taken, or told apart; never classes of images."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from striate import open_source
from striate.errors import DataError, UsageError
from striate.tasks.segment.data import is_mask_data, open_masks
from striate.tasks.segment.data.checks import check_masks
from striate.tasks.segment.data.cityscapes import IDS

File = tuple[str, Any]  # path, and "image", the name of a mask in DRAWN, or text
Layout = Callable[[], Iterator[File]]
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0]


def numbers(i: int, n: int = 3) -> np.ndarray:
    mask = np.zeros((16, 20), dtype=np.uint8)
    mask[3 + i % 4 : 9 + i % 4, 4:12] = 1
    mask[1:3, 14 + i % 4 : 19] = n - 1
    return mask


def with_palette(i: int) -> Image.Image:
    picture = Image.fromarray(numbers(i), "P")
    picture.putpalette(PALETTE)
    return picture


DRAWN: dict[str, Callable[[int], Any]] = {
    "image": lambda i: np.random.default_rng(i).integers(0, 255, (16, 20, 3), dtype=np.uint8),
    "grey": lambda i: np.random.default_rng(i).integers(0, 255, (16, 20), dtype=np.uint8),
    "numbers": numbers,
    "object": lambda i: (numbers(i) > 0).astype(np.uint8) * 255,
    "all": lambda i: np.full((16, 20), 255, np.uint8),
    "palette": with_palette,
    "colours": lambda i: with_palette(i).convert("RGB"),
    "instances": lambda i: numbers(i).astype(np.uint16) * 24001,
    "trimap": lambda i: np.where(numbers(i) == 0, 2, np.where(numbers(i) == 1, 1, 3)).astype(np.uint8),
}  # fmt: skip
TABLE = "name,r,g,b\nvoid,0,0,0\ncar,128,0,0\ntree,0,128,0\n"


def voc() -> Iterator[File]:
    for i in range(9):
        yield f"VOC2012/JPEGImages/2007_{i:06}.jpg", "image"
        yield f"VOC2012/Annotations/2007_{i:06}.xml", "<annotation/>"
        if i < 7:
            yield f"VOC2012/SegmentationClass/2007_{i:06}.png", "palette"
            yield f"VOC2012/SegmentationObject/2007_{i:06}.png", "palette"
    for name, ids in (("train", range(4)), ("val", range(4, 7)), ("trainval", range(7))):
        yield f"VOC2012/ImageSets/Segmentation/{name}.txt", "".join(f"2007_{i:06}\n" for i in ids)
    yield "VOC2012/ImageSets/Main/test.txt", "2007_000001\n"


def cityscapes() -> Iterator[File]:
    for split, city in (
        ("train", "aachen"),
        ("train", "bochum"),
        ("val", "frankfurt"),
        ("test", "berlin"),
    ):
        for i in range(3):
            stem = f"{split}/{city}/{city}_00000{i}_000019"
            yield f"leftImg8bit/{stem}_leftImg8bit.png", "image"
            for kind, drawn in (
                ("labelIds", "numbers"),
                ("instanceIds", "instances"),
                ("color", "colours"),
                ("polygons", "{}"),
            ):
                yield f"gtFine/{stem}_gtFine_{kind}.{'json' if drawn == '{}' else 'png'}", drawn


def camvid() -> Iterator[File]:
    for split in ("train", "val", "test"):
        for i in range(4):
            yield f"{split}/{split}{i}.png", "image"
            yield f"{split}_labels/{split}{i}_L.png", "colours"
    yield "class_dict.csv", TABLE


def camvid_of_fastai() -> Iterator[File]:
    for i in range(8):
        yield f"images/0001TP_{i:04}.png", "image"
        yield f"labels/0001TP_{i:04}_P.png", "numbers"
    yield "codes.txt", "Animal\nArchway\nVoid\n"
    yield "valid.txt", "0001TP_0001.png\n0001TP_0002.png\n"


def segnet() -> Iterator[File]:
    for split in ("train", "val", "test"):
        for i in range(4):
            yield f"CamVid/{split}/{split}{i}.png", "image"
            yield f"CamVid/{split}annot/{split}{i}.png", "numbers"
        yield (
            f"CamVid/{split}.txt",
            f"/SegNet/CamVid/{split}/{split}0.png /SegNet/CamVid/{split}annot/{split}0.png\n",
        )


def ade20k() -> Iterator[File]:
    for split, n in (("training", 5), ("validation", 3)):
        for i in range(n):
            yield f"images/{split}/ADE_{split}_{i:08}.jpg", "image"
            yield f"annotations/{split}/ADE_{split}_{i:08}.png", "numbers"
    yield (
        "objectInfo150.txt",
        "Idx\tRatio\tTrain\tVal\tName\n1\t0.16\t11664\t1172\twall\n2\t0.11\t6046\t612\tbuilding, edifice\n",
    )


def coco_stuff() -> Iterator[File]:
    for split in ("train2017", "val2017"):
        for i in range(5):
            yield f"images/{split}/{split[:2]}{i:012}.jpg", "image"
            yield f"annotations/{split}/{split[:2]}{i:012}.png", "numbers"


def pets() -> Iterator[File]:
    names = [f"Abyssinian_{i}" for i in range(8)]
    for name in names:
        yield f"images/{name}.jpg", "image"
        yield f"annotations/trimaps/{name}.png", "trimap"
        yield f"annotations/trimaps/._{name}.png", "left by a Mac"
        yield f"annotations/xmls/{name}.xml", "<annotation/>"
    yield "annotations/trainval.txt", "".join(f"{n} 1 1 1\n" for n in names[:5])
    yield "annotations/test.txt", "".join(f"{n} 1 1 1\n" for n in names[5:])


def nnunet() -> Iterator[File]:
    for i in range(8):
        yield f"Dataset001_X/imagesTr/case_{i:03}_0000.png", "grey"
        yield f"Dataset001_X/labelsTr/case_{i:03}.png", "numbers"
    yield "Dataset001_X/imagesTs/case_050_0000.png", "grey"
    yield (
        "Dataset001_X/dataset.json",
        json.dumps({"labels": {"background": 0, "a": 1, "b": 2}, "file_ending": ".png"}),
    )


def nnunet_of_two_channels() -> Iterator[File]:
    for i in range(8):
        yield f"imagesTr/case_{i:03}_0000.png", "grey"
        yield f"imagesTr/case_{i:03}_0001.png", "grey"
        yield f"labelsTr/case_{i:03}.png", "numbers"


def carvana() -> Iterator[File]:
    for i in range(8):
        yield f"train/ab{i}_01.jpg", "image"
        yield f"train_masks/ab{i}_01_mask.gif", "object"


def science_bowl() -> Iterator[File]:
    for i in range(8):
        yield f"stage1_train/{i:08x}/images/{i:08x}.png", "image"
        for k in range(3):
            yield f"stage1_train/{i:08x}/masks/{i * 7 + k + 99:08x}.png", "object"


def isic() -> Iterator[File]:
    for part, n in (("Training", 5), ("Validation", 3)):
        for i in range(n):
            yield f"ISIC2018_Task1-2_{part}_Input/ISIC_{n}{i:06}.jpg", "image"
            yield f"ISIC2018_Task1_{part}_GroundTruth/ISIC_{n}{i:06}_segmentation.png", "object"
        yield f"ISIC2018_Task1-2_{part}_Input/LICENSE.txt", "CC0"


def drive() -> Iterator[File]:
    for split, first in (("training", 21), ("test", 1)):
        for i in range(first, first + 4):
            yield f"{split}/images/{i:02}_{split}.tif", "image"
            yield f"{split}/1st_manual/{i:02}_manual1.gif", "object"
            yield f"{split}/mask/{i:02}_{split}_mask.gif", "all"
            if split == "test":
                yield f"{split}/2nd_manual/{i:02}_manual2.gif", "object"


def chase() -> Iterator[File]:
    for i in range(8):
        yield f"Image_{i:02}L.jpg", "image"
        yield f"Image_{i:02}L_1stHO.png", "object"
        yield f"Image_{i:02}L_2ndHO.png", "all"


def deepglobe() -> Iterator[File]:
    for i in range(8):
        yield f"train/{i * 13}_sat.jpg", "image"
        yield f"train/{i * 13}_mask.png", "colours"
    yield "valid/900_sat.jpg", "image"
    yield "class_dict.csv", TABLE


def kvasir() -> Iterator[File]:
    for i in range(8):
        yield f"Kvasir-SEG/images/cju{i}.jpg", "image"
        yield f"Kvasir-SEG/masks/cju{i}.jpg", "object"


def busi() -> Iterator[File]:
    for kind in ("benign", "malignant", "normal"):
        for i in range(1, 5):
            yield f"{kind}/{kind} ({i}).png", "image"
            yield f"{kind}/{kind} ({i})_mask.png", "object"


def labelme() -> Iterator[File]:
    for i in range(8):
        yield f"IMG_{i}.jpg", "image"
        yield f"IMG_{i}.json", "{}"


def labelme_to_voc() -> Iterator[File]:
    for i in range(8):
        yield f"JPEGImages/IMG_{i}.jpg", "image"
        yield f"SegmentationClass/IMG_{i}.npy", "array"
        yield f"SegmentationClassPNG/IMG_{i}.png", "palette"
        yield f"SegmentationClassVisualization/IMG_{i}.jpg", "image"
    yield "class_names.txt", "_background_\ncar\ntree\n"


def labelme_to_dataset() -> Iterator[File]:
    for i in range(8):
        yield f"x{i}_json/img.png", "image"
        yield f"x{i}_json/label.png", "palette"
        yield f"x{i}_json/label_viz.png", "image"
        yield f"x{i}_json/label_names.txt", "_background_\ncar\ntree\n"


def cvat() -> Iterator[File]:
    for i in range(8):
        yield f"JPEGImages/f{i}.png", "image"
        yield f"SegmentationClass/f{i}.png", "palette"
        yield f"SegmentationObject/f{i}.png", "palette"
    yield "ImageSets/Segmentation/default.txt", "f0\nf1\n"
    yield (
        "labelmap.txt",
        "# label:color_rgb:parts:actions\nvoid:0,0,0::\ncar:128,0,0::\ntree:0,128,0::\n",
    )


def supervisely() -> Iterator[File]:
    for i in range(8):
        yield f"ds0/img/p{i}.jpg", "image"
        yield f"ds0/ann/p{i}.jpg.json", "{}"
    yield "meta.json", json.dumps({"classes": [{"title": "a", "color": "#800000"}]})


def supervisely_masks() -> Iterator[File]:
    yield from supervisely()
    for i in range(8):
        yield f"ds0/masks_machine/p{i}.png", "numbers"
        yield f"ds0/masks_human/p{i}.png", "image"


def label_studio() -> Iterator[File]:
    for i in range(8):
        yield f"images/{i:08x}-a{i}.jpg", "image"
        for kind in ("Car", "Tree"):
            yield f"masks/task-{i + 40}-annotation-{i}-by-1-tag-{kind}-0.png", "object"


def roboflow() -> Iterator[File]:
    for split, n in (("train", 5), ("valid", 3), ("test", 2)):
        for i in range(n):
            yield f"{split}/{split}{i}_jpg.rf.{i:05x}abc.jpg", "image"
            yield f"{split}/{split}{i}_jpg.rf.{i:05x}abc_mask.png", "numbers"
        yield f"{split}/_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n"


def mmsegmentation() -> Iterator[File]:
    for split, n in (("train", 5), ("val", 3)):
        for i in range(n):
            yield f"img_dir/{split}/{split}x{i}.jpg", "image"
            yield f"ann_dir/{split}/{split}x{i}.png", "numbers"


def hub() -> Iterator[File]:
    for i in range(8):
        yield f"train/image/{i}.png", "image"
        yield f"train/label/{i}.png", "numbers"


def vaihingen() -> Iterator[File]:
    for i in range(8):
        yield f"top/top_mosaic_09cm_area{i}.tif", "image"
        yield f"gts_for_participants/top_mosaic_09cm_area{i}.tif", "colours"


def potsdam() -> Iterator[File]:
    for i in range(8):
        yield f"2_Ortho_RGB/top_potsdam_2_{i}_RGB.tif", "image"
        yield f"5_Labels_all/top_potsdam_2_{i}_label.tif", "colours"


def mapillary() -> Iterator[File]:
    for split, n in (("training", 5), ("validation", 3)):
        for i in range(n):
            yield f"{split}/images/{split}{i}.jpg", "image"
            yield f"{split}/v1.2/labels/{split}{i}.png", "palette"
            yield f"{split}/v1.2/panoptic/{split}{i}.png", "image"


def bdd100k() -> Iterator[File]:
    for split, n in (("train", 5), ("val", 3)):
        for i in range(n):
            yield f"bdd100k/images/10k/{split}/{split}{i}.jpg", "image"
            yield f"bdd100k/labels/sem_seg/masks/{split}/{split}{i}.png", "numbers"
            yield f"bdd100k/labels/sem_seg/colormaps/{split}/{split}{i}.png", "colours"


def kitti() -> Iterator[File]:
    for i in range(8):
        yield f"training/image_2/{i:06}_10.png", "image"
        yield f"training/semantic/{i:06}_10.png", "numbers"
        yield f"training/semantic_rgb/{i:06}_10.png", "colours"


def a2d2() -> Iterator[File]:
    for i in range(8):
        yield f"2018/camera/cam_front_center/2018_camera_frontcenter_{i:09}.png", "image"
        yield f"2018/label/cam_front_center/2018_label_frontcenter_{i:09}.png", "colours"


def carla() -> Iterator[File]:
    for i in range(8):
        yield f"CameraRGB/F{i}-1.png", "image"
        yield f"CameraSeg/F{i}-1.png", "colours"


def coco_stuff_as_downloaded() -> Iterator[File]:
    for split in ("train2017", "val2017"):
        for i in range(5):
            yield f"{split}/{split[:2]}{i:012}.jpg", "image"
            yield f"stuffthingmaps/{split}/{split[:2]}{i:012}.png", "numbers"


def cvat_as_camvid() -> Iterator[File]:
    for i in range(8):
        yield f"default/f{i}.png", "image"
        yield f"defaultannot/f{i}.png", "colours"
    yield "label_colors.txt", "0 0 0 void\n128 0 0 car\n0 128 0 tree\n"


def paddleseg() -> Iterator[File]:
    for i in range(8):
        yield f"images/p{i}.jpg", "image"
        yield f"annotations/p{i}.png", "palette"
    for name, ids in (("train", range(5)), ("val", range(5, 8))):
        yield f"{name}.txt", "".join(f"images/p{i}.jpg annotations/p{i}.png\n" for i in ids)
    yield "labels.txt", "void\ncar\ntree\n"


def eiseg() -> Iterator[File]:
    for i in range(8):
        yield f"p{i}.jpg", "image"
        yield f"label/p{i}.png", "numbers"
        yield f"label/p{i}_pseudo.png", "palette"
        yield f"label/p{i}_cutout.png", "image"


def segments_ai() -> Iterator[File]:
    for i in range(8):
        yield f"p{i}.png", "image"
        yield f"p{i}_label_ground-truth.png", "instances"
        yield f"p{i}_label_ground-truth_semantic.png", "numbers"
        yield f"p{i}_label_ground-truth_colored.png", "colours"


def cellpose() -> Iterator[File]:
    for i in range(8):
        yield f"im{i}.png", "grey"
        yield f"im{i}_cp_masks.png", "numbers"
        yield f"im{i}_cp_outlines.png", "all"


def qupath() -> Iterator[File]:
    for i in range(8):
        yield f"tiles/s [x={i},y=0,w=20,h=16].png", "image"
        yield f"tiles/s [x={i},y=0,w=20,h=16]-labelled.png", "numbers"


def qupath_by_suffix() -> Iterator[File]:
    for i in range(8):
        yield f"tiles/s [x={i},y=0,w=20,h=16].tif", "image"
        yield f"tiles/s [x={i},y=0,w=20,h=16].png", "numbers"


def ilastik() -> Iterator[File]:
    for i in range(8):
        yield f"im{i}.png", "grey"
        yield f"im{i}_Simple Segmentation.png", "numbers"


def fiji() -> Iterator[File]:
    for i in range(8):
        yield f"im{i}.tif", "grey"
        yield f"Mask of im{i}.tif", "object"


def gland_challenge() -> Iterator[File]:
    for i in range(8):
        yield f"testA_{i}.bmp", "image"
        yield f"testA_{i}_anno.bmp", "numbers"


def sen1floods() -> Iterator[File]:
    for i in range(8):
        yield f"S2Hand/Bolivia_{i}_S2Hand.tif", "image"
        yield f"LabelHand/Bolivia_{i}_LabelHand.tif", "numbers"


def mvtec() -> Iterator[File]:
    for i in range(8):
        yield f"bottle/train/good/{i:03}.png", "image"
        yield f"bottle/test/good/{i:03}.png", "image"
        yield f"bottle/test/broken/{i:03}.png", "image"
        yield f"bottle/ground_truth/broken/{i:03}_mask.png", "object"


def ph2() -> Iterator[File]:
    for i in range(2, 10):
        folder = f"PH2 Dataset images/IMD{i:03}"
        yield f"{folder}/IMD{i:03}_Dermoscopic_Image/IMD{i:03}.bmp", "image"
        yield f"{folder}/IMD{i:03}_lesion/IMD{i:03}_lesion.bmp", "object"
        if i % 2:
            yield f"{folder}/IMD{i:03}_roi/IMD{i:03}_R1_Label3.bmp", "object"


def a_folder_a_sample() -> Iterator[File]:
    for split, n in (("train", 5), ("test", 3)):
        for i in range(n):
            yield f"{split}/{split[:2]}{i}/scan.png", "grey"
            yield f"{split}/{split[:2]}{i}/lesion.png", "object"


def stems_in_a_folder_a_sample() -> Iterator[File]:
    for i in range(8):
        yield f"case{i}/photo{i}.jpg", "image"
        yield f"case{i}/tumour{i}.png", "numbers"


def brain_mri() -> Iterator[File]:
    for patient in ("CS_4941", "CS_4942", "DU_5851"):
        for k in range(3):
            yield f"kaggle_3m/TCGA_{patient}_1996/TCGA_{patient}_1996_{k}.tif", "image"
            yield f"kaggle_3m/TCGA_{patient}_1996/TCGA_{patient}_1996_{k}_mask.tif", "object"


def landcover() -> Iterator[File]:
    for i in range(8):
        yield f"output/M-33-{i}_0.jpg", "image"
        yield f"output/M-33-{i}_0_m.png", "numbers"
    for name, ids in (("train", range(5)), ("val", (5, 6)), ("test", (7,))):
        yield f"{name}.txt", "".join(f"M-33-{i}_0\n" for i in ids)


def landcover_as_tiff() -> Iterator[File]:
    for i in range(8):
        yield f"M-33-{i}.tif", "image"
        yield f"M-33-{i}_m.tif", "numbers"


def clinic_db() -> Iterator[File]:
    for i in range(8):
        yield f"CVC-ClinicDB/Original/{i}.tif", "image"
        yield f"CVC-ClinicDB/Ground Truth/{i}.tif", "object"


def kitti_road() -> Iterator[File]:
    for i in range(8):
        yield f"training/image_2/um_{i:06}.png", "image"
        yield f"training/gt_image_2/um_road_{i:06}.png", "colours"
    yield "testing/image_2/um_000000.png", "image"


def colours_in_the_folder_of_images() -> Iterator[File]:
    for i in range(8):
        yield f"rgbs_colorNormalized/TCGA-{i}.png", "image"
        yield f"masks/TCGA-{i}.png", "numbers"


def names_that_say_nothing() -> Iterator[File]:
    for i in range(8):
        yield f"ortho/{i}.tif", "image"
        yield f"buildings/{i}.tif", "object"


def images_with_the_longer_names() -> Iterator[File]:
    for i in range(8):
        yield f"p{i}_camera7.jpg", "image"
        yield f"p{i}.png", "object"


def a_folder_called_after_its_class() -> Iterator[File]:
    for i in range(8):
        yield f"images/p{i}.png", "image"
        yield f"roads/p{i}.png", "object"


def prefixes() -> Iterator[File]:
    for i in range(8):
        yield f"images/image_{i}.jpg", "image"
        yield f"masks/mask_{i}.png", "numbers"


def affixes() -> Iterator[File]:
    for i in range(8):
        yield f"images/frame{i:03}-left.jpg", "image"
        yield f"masks/{i:03}.png", "numbers"


def beside_masks() -> Iterator[File]:
    for i in range(8):
        yield f"a{i}.jpg", "image"
        yield f"masks/a{i}.png", "numbers"


def sites() -> Iterator[File]:
    for site in "AB":
        for i in range(4):
            yield f"site{site}/images/a{i}.jpg", "image"
            yield f"site{site}/masks/a{i}.png", "numbers"


def accents() -> Iterator[File]:
    for i in range(8):
        yield unicodedata.normalize("NFC", f"images/gewächs{i}.png"), "image"
        yield unicodedata.normalize("NFD", f"masks/gewächs{i}.png"), "numbers"


def suffix_twice() -> Iterator[File]:
    for i in range(8):
        yield f"images/a{i}.jpg", "image"
        yield f"masks/a{i}.jpg.png", "numbers"


def write(root: Path, layout: Layout) -> Path:
    counts: dict[str, int] = {}
    for path, content in layout():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if content not in DRAWN:
            file.write_text(content)
            continue
        i = counts[content] = counts.get(content, 0) + 1
        drawn = DRAWN[content](i)
        picture = drawn if isinstance(drawn, Image.Image) else Image.fromarray(drawn)
        picture.save(file)
    return root


# layout: ((train + drawn from it, val given, test given), classes, files without a partner)
THREE = ("background", "class 1", "class 2")
NAMED = ("void", "car", "tree")
OBJECT = ("background", "object")
COLOURS = ("#000000", "#008000", "#800000")
TAKEN: dict[Layout, tuple[tuple[int, int, int], tuple[str, ...], int]] = {
    voc: ((4, 3, 0), THREE, 2),
    cityscapes: ((6, 3, 3), IDS, 0),
    camvid: ((4, 4, 4), NAMED, 0),
    camvid_of_fastai: ((6, 2, 0), ("Animal", "Archway", "Void"), 0),
    segnet: ((4, 4, 4), THREE, 0),
    ade20k: ((5, 3, 0), ("wall", "building, edifice"), 0),
    coco_stuff: ((5, 5, 0), THREE, 0),
    pets: ((5, 0, 3), ("class 1", "class 2", "class 3"), 0),
    nnunet: ((8, 0, 0), ("background", "a", "b"), 1),
    carvana: ((8, 0, 0), OBJECT, 0),
    isic: ((5, 3, 0), OBJECT, 0),
    drive: ((4, 0, 4), OBJECT, 0),
    chase: ((8, 0, 0), OBJECT, 0),
    deepglobe: ((8, 0, 0), NAMED, 1),
    busi: ((12, 0, 0), OBJECT, 0),
    labelme_to_voc: ((8, 0, 0), ("_background_", "car", "tree"), 0),
    labelme_to_dataset: ((8, 0, 0), ("_background_", "car", "tree"), 0),
    cvat: ((8, 0, 0), NAMED, 0),
    supervisely_masks: ((8, 0, 0), THREE, 0),
    roboflow: ((5, 3, 2), ("background", "cat", "dog"), 0),
    mmsegmentation: ((5, 3, 0), THREE, 0),
    hub: ((8, 0, 0), THREE, 0),
    vaihingen: ((8, 0, 0), COLOURS, 0),
    potsdam: ((8, 0, 0), COLOURS, 0),
    mapillary: ((5, 3, 0), THREE, 8),
    bdd100k: ((5, 3, 0), THREE, 0),
    kitti: ((8, 0, 0), THREE, 0),
    a2d2: ((8, 0, 0), COLOURS, 0),
    carla: ((8, 0, 0), COLOURS, 0),
    coco_stuff_as_downloaded: ((5, 5, 0), THREE, 0),
    cvat_as_camvid: ((8, 0, 0), NAMED, 0),
    paddleseg: ((5, 3, 0), NAMED, 0),
    eiseg: ((8, 0, 0), THREE, 0),
    segments_ai: ((8, 0, 0), THREE, 0),
    cellpose: ((8, 0, 0), THREE, 8),
    qupath: ((8, 0, 0), THREE, 0),
    qupath_by_suffix: ((8, 0, 0), THREE, 0),
    ilastik: ((8, 0, 0), THREE, 0),
    fiji: ((8, 0, 0), OBJECT, 0),
    gland_challenge: ((8, 0, 0), THREE, 0),
    sen1floods: ((8, 0, 0), THREE, 0),
    ph2: ((8, 0, 0), OBJECT, 4),
    a_folder_a_sample: ((5, 0, 3), OBJECT, 0),
    stems_in_a_folder_a_sample: ((8, 0, 0), THREE, 0),
    brain_mri: ((9, 0, 0), OBJECT, 0),
    landcover: ((5, 2, 1), THREE, 0),
    landcover_as_tiff: ((8, 0, 0), THREE, 0),
    clinic_db: ((8, 0, 0), OBJECT, 0),
    kitti_road: ((8, 0, 0), COLOURS, 1),
    colours_in_the_folder_of_images: ((8, 0, 0), THREE, 0),
    names_that_say_nothing: ((8, 0, 0), OBJECT, 0),
    images_with_the_longer_names: ((8, 0, 0), OBJECT, 0),
    a_folder_called_after_its_class: ((8, 0, 0), OBJECT, 0),
    prefixes: ((8, 0, 0), THREE, 0),
    affixes: ((8, 0, 0), THREE, 0),
    beside_masks: ((8, 0, 0), THREE, 0),
    sites: ((8, 0, 0), THREE, 0),
    accents: ((8, 0, 0), THREE, 0),
    suffix_twice: ((8, 0, 0), THREE, 0),
}


@pytest.mark.parametrize("layout", TAKEN, ids=lambda f: f.__name__)
def test_layouts_that_are_taken(tmp_path: Path, layout: Layout) -> None:
    given, classes, alone = TAKEN[layout]
    root = write(tmp_path, layout)
    assert is_mask_data(root)
    # Where a layout gives no validation or test images, they are drawn from the training images.
    settings = {name: 0.0 for name, n in zip(("val", "test"), given[1:], strict=True) if not n}
    source = open_masks(root, **settings)  # type: ignore[arg-type]
    assert tuple(len(split) for split in source.splits.values()) == given
    assert source.classes == classes
    assert len(source.alone) == alone
    assert not source.damaged and not source.misfits
    for split in source.splits.values():
        for index, key in enumerate(split.keys):
            assert (split.pixels[index] > 0).sum() > 1, key
    with pytest.raises(UsageError, match="has a class for every pixel, not one class an image"):
        open_source(root, task="classify")


def test_defects_belong_to_the_images_of_their_own_folder(tmp_path: Path) -> None:
    source = open_masks(write(tmp_path, mvtec))
    assert {key.rpartition("/")[0] for key in source.test.keys} == {"bottle/test/broken"}
    assert len(source.alone) == 16
    with pytest.raises(DataError, match="has no training images: all 8 with a mask are for test"):
        check_masks(source)


def test_each_image_gets_its_own_mask(tmp_path: Path) -> None:
    for i in (1, 10, 100, 11):
        for folder, drawn in (
            ("images", DRAWN["image"](i)),
            ("masks", np.full((16, 20), i, np.uint8)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            name = f"mask_{i}.png" if folder == "masks" else f"image_{i}.png"
            Image.fromarray(drawn).save(tmp_path / folder / name)
    source = open_masks(tmp_path, val=0, test=0, masks="numbers")
    for index, key in enumerate(source.train.keys):
        number = int(key.rpartition("_")[2].removesuffix(".png"))
        c = int(source.train.mask(index)[0, 0])
        assert source.classes[c] == f"class {number}"


def test_names_that_differ_in_case_alone(tmp_path: Path) -> None:
    for name, i in (("a", 1), ("A", 2)):
        for folder, drawn in (
            ("images", DRAWN["image"](i)),
            ("masks", np.full((16, 20), i, np.uint8)),
        ):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(drawn).save(tmp_path / folder / f"{name}.png")
    if len(list((tmp_path / "images").iterdir())) < 2:
        pytest.skip("this disk knows no difference")
    split = open_masks(tmp_path, val=0, test=0, masks="numbers").train
    assert {key: int(split.mask(i).max()) for i, key in enumerate(split.keys)} == {
        "images/A.png": 1,
        "images/a.png": 0,
    }


def coco() -> Iterator[File]:
    for split in ("train2017", "val2017"):
        for i in range(4):
            yield f"{split}/{i:012}.jpg", "image"
        yield f"annotations/instances_{split}.json", "{}"


def coco_of_roboflow() -> Iterator[File]:
    for split in ("train", "valid"):
        for i in range(4):
            yield f"{split}/{i}.jpg", "image"
        yield f"{split}/_annotations.coco.json", "{}"


def yolo() -> Iterator[File]:
    for split in ("train", "val"):
        for i in range(4):
            yield f"images/{split}/{i}.jpg", "image"
            yield f"labels/{split}/{i}.txt", "0 .5 .5 .1 .1\n"


def voc_boxes() -> Iterator[File]:
    for i in range(8):
        yield f"JPEGImages/{i}.jpg", "image"
        yield f"Annotations/{i}.xml", "<annotation/>"


def a_folder_a_class() -> Iterator[File]:
    for i in range(8):
        yield f"images/a{i}.jpg", "image"
        yield f"masks/car/a{i}.png", "object"
        yield f"masks/tree/a{i}.png", "object"


def a_file_a_class() -> Iterator[File]:
    for i in range(8):
        yield f"images/a{i}.jpg", "image"
        yield f"masks/a{i}_car.png", "object"
        yield f"masks/a{i}_tree.png", "object"


def masks_twice() -> Iterator[File]:
    for i in range(8):
        yield f"images/a{i}.jpg", "image"
        yield f"masks/a{i}.png", "numbers"
        yield f"labels/a{i}.png", "numbers"


def kitti_road_and_lane() -> Iterator[File]:
    yield from kitti_road()
    for i in range(8):
        yield f"training/gt_image_2/um_lane_{i:06}.png", "colours"


def montgomery() -> Iterator[File]:
    for i in range(8):
        yield f"MontgomerySet/CXR_png/MCUCXR_{i:04}_0.png", "grey"
        for side in ("left", "right"):
            yield f"MontgomerySet/ManualMask/{side}Mask/MCUCXR_{i:04}_0.png", "object"


def endings() -> Iterator[File]:
    for i in range(8):
        yield f"d/p{i}.png", "grey"
        yield f"d/p{i}_heart.png", "object"
        yield f"d/p{i}_lung.png", "object"


def brats() -> Iterator[File]:
    for i in range(8):
        for kind in ("flair", "t1"):
            yield f"BraTS_{i:03}/BraTS_{i:03}_{kind}.png", "grey"
        yield f"BraTS_{i:03}/BraTS_{i:03}_seg.png", "numbers"


def weizmann() -> Iterator[File]:
    for i in range(8):
        yield f"{i}h/src_color/{i}h.png", "image"
        yield f"{i}h/src_bw/{i}h.png", "grey"
        yield f"{i}h/human_seg/{i}h_1.png", "object"


SEVERAL = "8 images have several masks: .* they seem to be one {}; --set masks=binary"
TOLD: dict[Layout, str] = {
    science_bowl: SEVERAL.format("an object"),
    a_folder_a_class: SEVERAL.format(r"a class \(car, tree\)"),
    a_file_a_class: SEVERAL.format(r"a class \(car, tree\)"),
    kitti_road_and_lane: SEVERAL.format(r"a class \(lane, road\)"),
    montgomery: SEVERAL.format(r"a class \(leftmask, rightmask\)"),
    endings: SEVERAL.format(r"a class \(heart, lung\)"),
    brats: r"several images of one sample \(BraTS_000_flair.png, BraTS_000_t1.png in BraTS_000\)",
    weizmann: "several images of one sample .* keep one of them in each folder",
    masks_twice: "could both be the mask of images/a0.jpg; keep one of them",
    nnunet_of_two_channels: "case_000_0001.png is a second channel",
    kvasir: "JPEG or WebP smears .* --set masks=nearest",
    labelme: "labels as JSON, such as polygons .*put them into masks/",
    supervisely: "in ds0/ann/, labels as JSON",
    coco: "in annotations/, labels as JSON",
    coco_of_roboflow: "_annotations.coco.json",
    yolo: r"in labels/, labels as text, such as boxes \(YOLO\)",
    voc_boxes: r"in Annotations/, labels as XML, such as boxes",
    label_studio: "are Label Studio's, a file for each class of a task",
}


@pytest.mark.parametrize("layout", TOLD, ids=lambda f: f.__name__)
def test_layouts_that_are_told_apart(tmp_path: Path, layout: Layout) -> None:
    root = write(tmp_path, layout)
    assert is_mask_data(root)
    with pytest.raises(DataError, match=TOLD[layout]):
        open_masks(root)
    if layout is yolo:  # whose boxes are learned
        assert open_source(root).format == "YOLO txt"
        return
    with pytest.raises(DataError):
        open_source(root)


def test_remedies_for_several_masks_and_several_images(tmp_path: Path) -> None:
    roads = write(tmp_path / "roads", kitti_road_and_lane)
    for file in roads.rglob("*_lane_*"):
        file.unlink()
    assert open_masks(roads, val=0, test=0).classes == COLOURS
    brains = write(tmp_path / "brains", brats)
    for file in brains.rglob("*_t1.png"):
        file.unlink()
    assert len(open_masks(brains, val=0, test=0).train) == 8


@pytest.mark.parametrize(
    "layout", [science_bowl, a_folder_a_class, a_file_a_class, montgomery, endings]
)
def test_several_masks_of_an_image_are_one_object_where_that_is_set(
    tmp_path: Path, layout: Layout
) -> None:
    source = open_masks(write(tmp_path, layout), masks="binary", val=0, test=0)
    assert source.classes == OBJECT and len(source.train) == 8
    split = source.train
    own = [np.asarray(Image.open(tmp_path / path)) for path in split.masks[0]]  # type: ignore[attr-defined]
    assert len(own) > 1
    assert (split.mask(0) == np.any(own, axis=0)).all()


def people(*names: str) -> Layout:
    def layout() -> Iterator[File]:
        for name in names:
            for i in range(6):
                yield f"{name}/{i}.jpg", "image"

    return layout


def dogs() -> Iterator[File]:
    for breed in ("n0208-Chihuahua", "n0209-Spaniel"):
        for i in range(6):
            yield f"Images/{breed}/{breed[:5]}_{i}.jpg", "image"
            yield f"Annotation/{breed}/{breed[:5]}_{i}.xml", "<annotation/>"


def scraped() -> Iterator[File]:
    for name in ("cat", "dog"):
        for i in range(6):
            yield f"{name}/{i}.jpg", "image"
            yield f"{name}/{i}.json", "{}"


def a_photo_and_a_logo_a_class() -> Iterator[File]:
    for name in ("shoes", "hats", "bags", "belts"):
        for i in range(3):
            yield f"{name}/photo{i}.jpg", "image"
        yield f"{name}/logo.png", "object"


def numbered() -> Iterator[File]:
    for name in ("cat", "dog"):
        for i in range(6):
            yield f"{name}/{i}.jpg", "image"


def one_of_each_kind() -> Iterator[File]:
    for name in ("left", "right"):
        for kind in ("front", "side", "top"):
            yield f"{name}/{kind}.jpg", "image"


def hands() -> Iterator[File]:
    for name in ("left", "right"):
        for i in range(6):
            yield f"{name}/h{i}.jpg", "image"
            yield f"{name}/h{i}_L.jpg", "image"


@pytest.mark.parametrize(
    "layout",
    [
        people("mask", "no_mask"),
        people("with_mask", "without_mask"),
        people("images/mask", "images/no_mask"),
        people("mask", "helmet"),
        people("images", "drawings"),
        people("train/cat", "train/dog", "test/cat", "test/dog"),
        dogs,
        scraped,
        hands,
        a_photo_and_a_logo_a_class,
        numbered,
        one_of_each_kind,
    ],
)
def test_classes_of_images_stay_classes(tmp_path: Path, layout: Layout) -> None:
    root = write(tmp_path, layout)
    assert not is_mask_data(root)
    assert len(open_source(root).classes) == (4 if layout is a_photo_and_a_logo_a_class else 2)
