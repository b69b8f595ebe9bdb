//! Descriptors as Chromium 156 sent them to an edge, and what they say.

use super::*;
use crate::golden::hex;
use Indication::{Discardable, NotPresent, Required, Switch};

fn fields(structure: &Structure) -> Fields<'_> {
    Fields {
        start: true,
        end: false,
        template: 0,
        number: 0,
        structure,
        attach: true,
        active: None,
        indications: None,
        diffs: None,
        chains: None,
    }
}

/// Reads a descriptor with a structure, writes it anew, and expects the same bytes.
fn same_again(bytes: &[u8], active: Option<u32>) -> (Templates, Frame) {
    let mut templates = Templates::default();
    let frame = templates.read(bytes).unwrap();
    let structure = templates.structure().unwrap().clone();
    let said = Mandatory::parse(bytes).unwrap();
    let fields = Fields {
        start: said.start,
        end: said.end,
        template: said.template,
        number: said.number,
        active,
        ..fields(&structure)
    };
    let mut out = [0; BYTES_MAX];
    let len = fields.write(&mut out).unwrap();
    assert_eq!(out[..len], *bytes, "{:02x?}", &out[..len]);
    (templates, frame)
}

/// A structure's templates, a line each: layer, what it is to each target, differences, chains.
fn rows(structure: &Structure) -> Vec<String> {
    let letter = |template: &Template, target| match template.indications.of(target) {
        NotPresent => '-',
        Discardable => 'D',
        Switch => 'S',
        Required => 'R',
    };
    let row = |template: &Template| {
        let Layer { spatial, temporal } = template.layer;
        let targets: String = (0..structure.targets.len()).map(|target| letter(template, target)).collect();
        format!("L{spatial}T{temporal} {targets} {:?} {:?}", template.diffs.as_slice(), template.chains.as_slice())
    };
    structure.templates.iter().map(row).collect()
}

/// Every spatial layer in three temporal ones, with a chain each.
fn three_by(spatial: u8) -> Vec<Target> {
    let target = |n| Target { layer: Layer { spatial: n / 3, temporal: n % 3 }, chain: Some(n / 3) };
    (0..spatial * 3).map(target).collect()
}

const SIZES: [Size; 3] =
    [Size { width: 320, height: 180 }, Size { width: 640, height: 360 }, Size { width: 1_280, height: 720 }];

#[test]
fn vp9_with_three_spatial_layers_that_meet_at_key_frames() {
    let key = hex(
        "c0000180081485214eaaaaa8000600004000100002aa80a8000600004000100002a000a800060000400016d549241b5524906d54923157e0\
         01974ca864330e222396eca8655304224390eca87753013f00b3027f016704ff02cf",
    );
    let (mut templates, frame) = same_again(&key, None);
    assert_eq!((frame.layer, frame.active, frame.size), (Layer { spatial: 0, temporal: 0 }, 0x1ff, Some(SIZES[0])));
    let structure = templates.structure().unwrap();
    assert_eq!((structure.id_offset, structure.chains, &structure.sizes[..]), (0, 3, &SIZES[..]));
    assert_eq!(structure.targets, three_by(3));
    let expected = [
        "L0T0 SSSSSSSSS [] [0, 0, 0]",
        "L0T0 SSS------ [12] [12, 11, 10]",
        "L0T1 -DS------ [6] [6, 5, 4]",
        "L0T2 --D------ [3] [3, 2, 1]",
        "L0T2 --D------ [3] [9, 8, 7]",
        "L1T0 ---SSSSSS [1] [1, 1, 1]",
        "L1T0 ---SSS--- [12] [1, 12, 11]",
        "L1T1 ----DS--- [6] [7, 6, 5]",
        "L1T2 -----D--- [3] [4, 3, 2]",
        "L1T2 -----D--- [3] [10, 9, 8]",
        "L2T0 ------SSS [1] [2, 1, 1]",
        "L2T0 ------SSS [12] [2, 1, 12]",
        "L2T1 -------DS [6] [8, 7, 6]",
        "L2T2 --------D [3] [5, 4, 3]",
        "L2T2 --------D [3] [11, 10, 9]",
    ];
    assert_eq!(rows(structure), expected);
    // The packets after it: the picture's larger layers, in two packets and more.
    let rest = ["850002", "450002", "8a0003", "0a0003"].map(|bytes| templates.read(&hex(bytes)).unwrap());
    assert_eq!(
        rest.map(|frame| (frame.start, frame.end)),
        [(true, false), (false, true), (true, false), (false, false)]
    );
    assert_eq!(rest.map(|frame| (frame.number, frame.layer.spatial)), [(2, 1), (2, 1), (3, 2), (3, 2)]);
    assert_eq!(rest.map(|frame| frame.size), [1, 1, 2, 2].map(|n| Some(SIZES[n])));
}

#[test]
fn vp9_whose_largest_layer_rests_says_which_targets_are_left() {
    let key = hex(
        "d9026ac3281485214eaaaaa8000600004000100002aa80a8000600004000100002a000a800060000400016d549241b5524906d54923157e0\
         01974ca864330e222396eca8655304224390eca87753013f00b3027f016704ff02cf1f80",
    );
    let (mut templates, frame) = same_again(&key, Some(0x3f));
    assert_eq!((frame.active, frame.number, templates.structure().unwrap().id_offset), (0x3f, 618, 25));
    // What the templates do not have: distances after some pictures were left out.
    let frame = templates.read(&hex("da02771b40585048")).unwrap();
    assert_eq!((frame.number, frame.layer, frame.active), (631, Layer { spatial: 0, temporal: 0 }, 0x3f));
    assert_eq!((frame.diffs.as_slice(), frame.chains.as_slice()), (&[11][..], &[11, 10, 9][..]));
    let larger = templates.read(&hex("9f02781b40085850")).unwrap();
    assert_eq!(
        (larger.layer.spatial, larger.diffs.as_slice(), larger.chains.as_slice()),
        (1, &[11][..], &[1, 11, 10][..])
    );
}

#[test]
fn vp9_with_two_spatial_layers() {
    let key = hex("c00001800514853aaaa8018004004002a02a0060010015d34514174d144c700874321651118543276809f8059813f80b38");
    let (templates, frame) = same_again(&key, None);
    let structure = templates.structure().unwrap();
    assert_eq!((frame.active, &structure.targets, &structure.sizes[..]), (0x3f, &three_by(2), &SIZES[..2]));
    let expected = [
        "L0T0 SSSSSS [] [0, 0]",
        "L0T0 SSS--- [8] [8, 7]",
        "L0T1 -DS--- [4] [4, 3]",
        "L0T2 --D--- [2] [2, 1]",
        "L0T2 --D--- [2] [6, 5]",
        "L1T0 ---SSS [1] [1, 1]",
        "L1T0 ---SSS [8] [1, 8]",
        "L1T1 ----DS [4] [5, 4]",
        "L1T2 -----D [2] [3, 2]",
        "L1T2 -----D [2] [7, 6]",
    ];
    assert_eq!(rows(structure), expected);
}

#[test]
fn av1_whose_larger_layer_refers_to_the_smaller_one() {
    let key =
        hex("c10001800514853abfaaa18f04304302a02a006001001b934515e082704608c0c787004321651111543276809f8059813f80b380");
    let (mut templates, frame) = same_again(&key, None);
    assert_eq!(frame.diffs.as_slice(), [0; 0], "a key frame, although its template is the second");
    let structure = templates.structure().unwrap();
    assert_eq!((&structure.targets, &structure.sizes[..]), (&three_by(2), &SIZES[..2]));
    let expected = [
        "L0T0 SSSRRR [8] [8, 7]",
        "L0T0 SSSSSS [] [0, 0]",
        "L0T1 -DS-RR [4] [4, 3]",
        "L0T2 --D--R [2] [2, 1]",
        "L0T2 --D--R [2] [6, 5]",
        "L1T0 ---SSS [8, 1] [1, 1]",
        "L1T0 ---SSS [1] [1, 1]",
        "L1T1 ----DS [4, 1] [5, 4]",
        "L1T2 -----D [2, 1] [3, 2]",
        "L1T2 -----D [2, 1] [7, 6]",
    ];
    assert_eq!(rows(structure), expected);
    let next = ["c60002", "c30003", "c80004"].map(|bytes| templates.read(&hex(bytes)).unwrap());
    let layers = next.map(|Frame { layer, .. }| (layer.spatial, layer.temporal));
    assert_eq!(layers, [(1, 0), (0, 2), (1, 2)]);
    assert!(next.iter().all(|frame| frame.start && frame.end), "a packet each");
}

#[test]
fn three_temporal_layers_alone() {
    for (bytes, offset) in
        [("a80496850214eaa860414d1410208427013f00b3", 40), ("ca0169814214eaa860414d1410208427013f00b3", 10)]
    {
        let (templates, _) = same_again(&hex(bytes), None);
        let structure = templates.structure().unwrap();
        assert_eq!((structure.id_offset, &structure.targets), (offset, &three_by(1)));
        assert_eq!(
            rows(structure),
            ["L0T0 SSS [] [0]", "L0T0 SSS [4] [4]", "L0T1 -DS [2] [2]", "L0T2 --D [1] [1]", "L0T2 --D [1] [3]"]
        );
    }
}
