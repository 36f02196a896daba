"""Every kind of picture file gives its exact samples, or an error with a code."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError
from metseg.io.images.image_decoding import picture_size
from metseg.io.images.images_2d import checked_page_count, luminance, read_mask, read_picture
from metseg.labels import LABEL_SCHEMES

BINARY = LABEL_SCHEMES["binary"]
METASTASES = LABEL_SCHEMES["brats-met-2023"]
GREY = np.arange(35, dtype=np.uint8).reshape(5, 7) * 7
DEEP = np.linspace(0, 65535, 35).astype(np.uint16).reshape(5, 7)
COLOUR = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=2)


def png(path: Path, *, bits: int, colour_type: int, columns: int, rows: list[bytes]) -> Path:
    """Write a PNG by hand, from the specification: an encoder of our own to check the decoder by."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, len(rows), bits, colour_type, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


def tiff(path: Path, *, order: str, dtype: str, samples: np.ndarray, photometric: int = 1) -> Path:
    """Write an uncompressed one-strip grey TIFF by hand, in either byte order."""
    data = samples.astype(dtype).tobytes()
    kind = 3 if np.dtype(dtype).kind == "f" else 1
    short, long = 3, 4
    entries = [
        (256, long, samples.shape[1]),
        (257, long, samples.shape[0]),
        (258, short, 8 * np.dtype(dtype).itemsize),
        (259, short, 1),
        (262, short, photometric),
        (273, long, 8),
        (277, short, 1),
        (278, long, samples.shape[0]),
        (279, long, len(data)),
        (339, short, kind),
    ]
    directory = struct.pack(order + "H", len(entries))
    for tag, field, value in entries:
        packed = struct.pack(order + "HH", value, 0) if field == short else struct.pack(order + "I", value)
        directory += struct.pack(order + "HHI", tag, field, 1) + packed
    magic = b"II*\0" if order == "<" else b"MM\0*"
    path.write_bytes(magic + struct.pack(order + "I", 8 + len(data)) + data + directory + bytes(4))
    return path


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_formats_keep_every_pixel(save, name, pixels):
    options = {"lossless": True} if name.endswith("webp") else {}
    picture = read_picture(save(name, pixels, **options))
    expected = pixels[..., None] if pixels.ndim == 2 and not name.endswith("webp") else pixels
    if pixels.ndim == 2 and name.endswith("webp"):
        expected = np.repeat(pixels[..., None], 3, axis=2)  # WebP has no grey
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.dtype == np.uint8
    assert picture.notes == ()


def test_jpeg_is_near(save):
    smooth = np.add.outer(np.arange(32), np.arange(48)).astype(np.uint8)
    picture = read_picture(save("a.jpg", smooth, quality=95))
    assert picture.pixels.shape == (32, 48, 1)
    assert np.abs(picture.pixels[..., 0].astype(int) - smooth).max() <= 3


def test_content_decides_and_not_the_name(save):
    path = save("a.png", GREY)
    np.testing.assert_array_equal(read_picture(path.rename(path.with_suffix(".jpg"))).pixels[..., 0], GREY)


def test_sixteen_bit_png_keeps_its_range(tmp_path):
    path = png(
        tmp_path / "a.png", bits=16, colour_type=0, columns=7, rows=[row.astype(">u2").tobytes() for row in DEEP]
    )
    picture = read_picture(path)
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels[..., 0], DEEP)


def test_sixteen_bit_colour_png_keeps_its_range_and_order(tmp_path):
    colour = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=2)
    rows = [row.astype(">u2").tobytes() for row in colour]
    picture = read_picture(png(tmp_path / "a.png", bits=16, colour_type=2, columns=7, rows=rows))
    np.testing.assert_array_equal(picture.pixels, colour)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["u1", "u2", "f4", "i2", "i4"])
def test_tiff_of_either_byte_order(tmp_path, order, kind):
    samples = (DEEP // 300).astype(order + kind)  # 0..218
    path = tiff(tmp_path / "a.tif", order=order, dtype=order + kind, samples=samples)
    if kind.startswith("i"):  # the tag for signed integers is 2
        data = path.read_bytes()
        entry = struct.pack(order + "HHI", 339, 3, 1)
        path.write_bytes(data.replace(entry + struct.pack(order + "HH", 1, 0), entry + struct.pack(order + "HH", 2, 0)))
    picture = read_picture(path)
    expected = {"u1": np.uint8, "u2": np.uint16, "f4": np.float32, "i2": np.uint16, "i4": np.uint16}[kind]
    assert picture.pixels.dtype == expected
    assert picture.pixels.dtype.isnative
    np.testing.assert_array_equal(picture.pixels[..., 0], samples)


def test_white_is_zero_is_turned_round(tmp_path):
    path = tiff(tmp_path / "a.tif", order="<", dtype="<u2", samples=65535 - DEEP, photometric=0)
    np.testing.assert_array_equal(read_picture(path).pixels[..., 0], DEEP)


@pytest.mark.parametrize(("bits", "value", "stretched"), [(1, 1, 255), (2, 2, 170), (4, 9, 153)])
def test_few_bits(tmp_path, bits, value, stretched):
    """One row of two pixels: `value`, 0. A picture uses the full scale, a mask the stored number."""
    row = bytes([value << (8 - bits)])
    path = png(tmp_path / "a.png", bits=bits, colour_type=0, columns=2, rows=[row])
    assert read_picture(path).pixels[..., 0].tolist() == [[stretched, 0]]
    if value <= 3:
        assert read_mask(path, METASTASES).labels.tolist() == [[value, 0]]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_full_scale_of_few_bits_is_lesion(tmp_path, bits):
    row = bytes([((1 << bits) - 1) << (8 - bits)])
    path = png(tmp_path / "a.png", bits=bits, colour_type=0, columns=2, rows=[row])
    assert read_mask(path, BINARY).labels.tolist() == [[1, 0]]


def test_palette_picture_becomes_grey_with_a_note(save, tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 1]], dtype=np.uint8), mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 200, 200, 200])
    image.save(tmp_path / "p.png")
    picture = read_picture(tmp_path / "p.png")
    assert picture.pixels[..., 0].tolist() == [[0, 76], [200, 76]]  # 0.299 * 255 = 76.2
    assert picture.notes == ("a palette picture was converted to grey",)


def test_palette_mask_gives_indices_and_never_colours(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 3]], dtype=np.uint8), mode="P")
    image.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "p.png")
    assert read_mask(tmp_path / "p.png", METASTASES).labels.tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_that_hides_something_becomes_grey_with_a_note(tmp_path, mode):
    image = Image.fromarray(GREY).convert(mode)
    image.putalpha(Image.fromarray(np.full_like(GREY, 254)))
    image.save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    np.testing.assert_array_equal(picture.pixels[..., 0], GREY)
    assert picture.pixels.shape == (5, 7, 1)
    assert picture.notes == ("the alpha channel was ignored and the picture converted to grey",)


def test_alpha_that_is_opaque_everywhere_is_dropped(tmp_path):
    """A screenshot's RGBA holds the three sequences as RGB does."""
    opaque = np.dstack([COLOUR, np.full_like(GREY, 255)])
    for name, options in (("a.png", {}), ("a.tif", {}), ("a.webp", {"lossless": True})):
        Image.fromarray(opaque).save(tmp_path / name, **options)
        picture = read_picture(tmp_path / name)
        np.testing.assert_array_equal(picture.pixels, COLOUR)
        assert (picture.notes, picture.from_colours) == ((), False)
    Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)]), "LA").save(tmp_path / "grey.png")
    picture = read_picture(tmp_path / "grey.png")
    np.testing.assert_array_equal(picture.pixels[..., 0], GREY)
    assert picture.notes == ()


def test_sixteen_bits_with_opaque_alpha_keep_their_colours(tmp_path):
    deep = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1], np.full_like(DEEP, 65535)], axis=2)
    rows = [row.astype(">u2").tobytes() for row in deep]
    path = png(tmp_path / "a.png", bits=16, colour_type=6, columns=7, rows=rows)
    np.testing.assert_array_equal(read_picture(path).pixels, deep[..., :3])


@pytest.mark.parametrize("mode", ["L", "RGB", "P", "1"])
def test_bmp_is_read(tmp_path, mode):
    source = Image.fromarray(COLOUR if mode == "RGB" else GREY)
    source = source.convert(mode) if mode in ("P", "1") else source
    source.save(tmp_path / "a.bmp")
    expected = COLOUR if mode == "RGB" else np.asarray(source.convert("L"))[..., None]
    np.testing.assert_array_equal(read_picture(tmp_path / "a.bmp").pixels, expected)


def test_bmp_masks_are_read(tmp_path):
    truth = (GREY > 100).astype(np.uint8)
    Image.fromarray(truth * 255).save(tmp_path / "a_mask.bmp")
    np.testing.assert_array_equal(read_mask(tmp_path / "a_mask.bmp", BINARY).labels, truth)
    Image.fromarray(truth * 255).convert("1").save(tmp_path / "b_mask.bmp")
    np.testing.assert_array_equal(read_mask(tmp_path / "b_mask.bmp", BINARY).labels, truth)


#: Where the pixel that is stored in row 0 and column 1 of 5 rows and 7 columns is seen (Exif 2.3, 4.6.4).
SEEN_AT = {1: (0, 1), 2: (0, 5), 3: (4, 5), 4: (4, 1), 5: (1, 0), 6: (1, 4), 7: (5, 4), 8: (5, 0)}


@pytest.mark.parametrize("orientation", SEEN_AT)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_exif_orientation_is_honoured_in_pictures_and_masks(tmp_path, name, orientation):
    stored = np.zeros((5, 7), np.uint8)
    stored[0, 1] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"a.webp": {"lossless": True}, "a.jpg": {"quality": 100, "subsampling": 0}}.get(name, {})
    Image.fromarray(stored).save(tmp_path / name, exif=exif, **options)
    picture, mask = read_picture(tmp_path / name), read_mask(tmp_path / name, BINARY)
    shape = (5, 7) if orientation < 5 else (7, 5)
    assert picture.pixels.shape[:2] == mask.labels.shape == shape
    assert picture_size(tmp_path / name) == shape[::-1]
    assert np.unravel_index(picture.pixels[..., 0].argmax(), shape) == SEEN_AT[orientation]
    assert [tuple(map(int, place)) for place in np.argwhere(mask.labels)] == [SEEN_AT[orientation]]
    for notes in (picture.notes, mask.notes):
        assert any("turned upright" in note for note in notes) == (orientation != 1)


def test_exif_orientation_of_sixteen_bit_colour(tmp_path):
    deep = np.stack([DEEP, DEEP[::-1], DEEP[:, ::-1]], axis=2)
    path = png(
        tmp_path / "a.png", bits=16, colour_type=2, columns=7, rows=[row.astype(">u2").tobytes() for row in deep]
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    body = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    content = path.read_bytes()
    for at in (33, len(content) - 12):  # before the pixels and, as the format allows, after them
        path.write_bytes(content[:at] + chunk + content[at:])
        np.testing.assert_array_equal(read_picture(path).pixels, np.rot90(deep, -1))


def test_luminance_agrees_with_pillow():
    rng = np.random.default_rng(1)
    colour = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(luminance(colour), np.asarray(Image.fromarray(colour).convert("L")))


def test_luminance_of_equal_channels_is_their_value_up_to_the_last_of_sixteen_bits():
    np.testing.assert_array_equal(luminance(np.repeat(DEEP[..., None], 3, axis=2)), DEEP)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "an empty file"),
        (b"GIF89a" + bytes(60), "a GIF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG"),
        (b"  <?xml version='1.0'?><svg/>", "an XML or SVG"),
        (b"\x1f\x8b\x08" + bytes(60), "a gzip"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "something else"),
        (b"hello, this is no picture", "something else"),
    ],
)
def test_other_kinds_of_file_are_refused_by_name(tmp_path, content, named):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(InputError, match=named) as caught:
        read_picture(path)
    assert caught.value.code == "input.format"
    assert str(path) in caught.value.one_line()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB"])
def test_colours_that_are_no_intensities_are_refused(tmp_path, mode):
    name = "a.jpg" if mode == "CMYK" else "a.tif"
    Image.new(mode, (4, 4)).save(tmp_path / name)
    with pytest.raises(InputError, match=mode) as caught:
        read_picture(tmp_path / name)
    assert caught.value.code == "input.format"


def test_missing_file(tmp_path):
    with pytest.raises(InputError) as caught:
        read_picture(tmp_path / "none.png")
    assert caught.value.code == "input.missing"


def test_over_25_megapixels_is_refused_before_decoding(tmp_path):
    """The file claims 5001 x 5000 pixels and holds none: only the header can have been read."""
    path = png(tmp_path / "a.png", bits=8, colour_type=0, columns=5001, rows=[])
    data = path.read_bytes()
    header = struct.pack(">IIBBBBB", 5001, 5000, 8, 0, 0, 0, 0)
    fixed = b"IHDR" + header
    path.write_bytes(data[:12] + fixed + struct.pack(">I", zlib.crc32(fixed)) + data[33:])
    with pytest.raises(InputError, match="5001 x 5000") as caught:
        read_picture(path)
    assert caught.value.code == "input.too_large"


@pytest.mark.parametrize("name", ["g.png", "c.png", "g.tif", "lzw.tif", "c.jpg", "lossy.webp", "deep.png", "deep.tif"])
def test_cut_short_anywhere_is_never_read_as_other_pixels(tmp_path, save, name):
    import cv2

    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (16, 12, 3), dtype=np.uint8)
    if name.startswith("deep"):
        path = tmp_path / name
        cv2.imwrite(str(path), rng.integers(0, 65536, (16, 12, 3), dtype=np.uint16))
    else:
        options = {"compression": "tiff_lzw"} if name.startswith("lzw") else {}
        path = save(name, noise[..., 0] if name.startswith("g") else noise, **options)
    whole, expected = path.read_bytes(), read_picture(path).pixels
    codes = set()
    for length in range(20, len(whole) - 1, max(1, len(whole) // 50)):
        path.write_bytes(whole[:length])
        try:
            np.testing.assert_array_equal(read_picture(path).pixels, expected)
        except InputError as error:
            codes.add(error.code)
    assert codes == {"input.truncated"}


def test_a_flipped_bit_is_noticed(save):
    path = save("a.png", GREY)
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 8] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_picture(path)
    assert caught.value.code == "input.truncated"


def test_one_percent_of_nan_becomes_zero_and_is_counted(save):
    values = np.full((10, 20), 3, dtype=np.float32)
    values[0, 0], values[0, 1] = np.nan, -np.inf
    picture = read_picture(save("a.tif", values))
    expected = np.full((10, 20), 3, dtype=np.float32)
    expected[0, :2] = 0
    np.testing.assert_array_equal(picture.pixels[..., 0], expected)
    assert picture.notes == ("2 NaN or infinite pixels of 200 were set to 0",)


def test_more_than_one_percent_of_nan_is_refused(save):
    values = np.full((10, 20), 3, dtype=np.float32)
    values[0, :3] = np.nan
    with pytest.raises(InputError, match="3 of 200") as caught:
        read_picture(save("a.tif", values))
    assert caught.value.code == "input.not_finite"


def multi_page(path: Path, pages: int) -> Path:
    images = [Image.fromarray(np.full((3, 4), 50 * page, dtype=np.uint8)) for page in range(pages)]
    images[0].save(path, save_all=True, append_images=images[1:])
    return path


def test_several_pages_are_refused_unless_asked_for(tmp_path):
    path = multi_page(tmp_path / "a.tif", 3)
    with pytest.raises(InputError, match="3 pages") as caught:
        read_picture(path)
    assert caught.value.code == "input.multi_page"
    assert [int(read_picture(path, page=page).pixels.max()) for page in range(3)] == [0, 50, 100]


def test_page_cap(tmp_path):
    with pytest.raises(InputError, match="at most 2") as caught:
        checked_page_count(multi_page(tmp_path / "a.tif", 3), max_pages=2)
    assert caught.value.code == "input.too_large"


def test_animated_webp_is_refused(tmp_path):
    with pytest.raises(InputError, match="2 pages or frames"):
        read_picture(multi_page(tmp_path / "a.webp", 2))


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0, 65535), (0, 0)])
def test_two_valued_masks(save, values):
    dtype = np.uint16 if max(values) > 255 else np.uint8
    path = save("a_mask.png", np.array([[values[0], values[1]]], dtype=dtype))
    assert read_mask(path, BINARY).labels.tolist() == [[0, int(values[1] > 0)]]


def test_rounding_noise_of_a_float_mask(save):
    path = save("a_mask.tif", np.array([[0, 0.99999997]], dtype=np.float32))
    assert read_mask(path, BINARY).labels.tolist() == [[0, 1]]


def test_fraction_in_a_mask_is_refused_by_value(save):
    with pytest.raises(InputError, match=r"0\.25"):
        read_mask(save("a_mask.tif", np.array([[0, 0.25]], dtype=np.float32)), BINARY)


def test_nan_in_a_mask_is_refused(save):
    with pytest.raises(InputError):
        read_mask(save("a_mask.tif", np.array([[0, np.nan]], dtype=np.float32)), BINARY)


@pytest.mark.parametrize(("scheme", "values"), [("brats-gli-2021", [0, 1, 2, 4]), ("brats-gli-2023", [0, 1, 2, 3])])
def test_classes_by_scheme(save, scheme, values):
    path = save("a_mask.png", np.array([values], dtype=np.uint8))
    assert read_mask(path, LABEL_SCHEMES[scheme]).labels.tolist() == [values]


def test_unknown_label_is_refused_by_value(save):
    with pytest.raises(InputError, match="unknown label 4") as caught:
        read_mask(save("a_mask.png", np.array([[0, 1, 4]], dtype=np.uint8)), METASTASES)
    assert caught.value.code == "input.labels"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lesion_numbers_are_recognised(save, dtype):
    with pytest.raises(InputError, match="instances") as caught:
        read_mask(save("a_mask.png", np.arange(43, dtype=dtype)[None]), BINARY)
    assert caught.value.code == "input.instances"


@pytest.mark.parametrize("name", ["a_mask.jpg", "a_mask.webp"])
def test_lossy_mask_is_thresholded_with_a_note(save, name):
    truth = np.zeros((64, 64), dtype=np.uint8)
    truth[16:48, 16:48] = 1
    mask = read_mask(save(name, truth * 255, quality=90), BINARY)
    np.testing.assert_array_equal(mask.labels, truth)
    assert mask.notes == ("a lossy mask was thresholded at 127",)


def test_dark_lossy_mask_is_not_emptied_silently(save):
    mask = read_mask(save("a_mask.jpg", np.full((8, 8), 100, dtype=np.uint8)), BINARY)
    assert not mask.labels.any()
    assert "brightest pixel is 100" in mask.notes[1]


def test_lossy_mask_of_several_classes_is_refused(save):
    with pytest.raises(InputError, match="lossy"):
        read_mask(save("a_mask.jpg", GREY), METASTASES)


def test_lossless_webp_mask_is_exact(save):
    truth = np.tile(np.array([0, 255], dtype=np.uint8), (8, 4))
    mask = read_mask(save("a_mask.webp", truth, lossless=True), BINARY)
    np.testing.assert_array_equal(mask.labels, truth // 255)
    assert mask.notes == ()


def test_colour_mask_is_refused(save):
    with pytest.raises(InputError, match="colour"):
        read_mask(save("a_mask.png", COLOUR), BINARY)
