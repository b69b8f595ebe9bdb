//! Ways that carry less than there is, in words.

use crate::script::check;

#[test]
fn a_picture_falls_and_rises_with_what_the_way_carries() {
    check(
        "ana joins video 1
         ana publishes camera 180 360 720
         ben joins video 1
         ben downlink 450k
         ben views ana 1280x720
         after 8s
         ben sees ana 360
         ben begins to be watched
         after 5s
         ben sees ana 360
         ben waited at most 250ms
         ben downlink 2M
         after 12s
         ben sees ana 720
         ben downlink 250k
         after 12s
         ben sees ana 180
         ben downlink 2M
         after 30s
         ben sees ana 720",
    );
}

#[test]
fn bases_of_all_come_before_more_of_any() {
    check(
        "ana joins video 1
         ana publishes camera 180 360 720
         cleo joins video 1
         cleo publishes camera 180 360 720
         ben joins video 2
         ben downlink 500k
         ben views ana 1280x720, cleo 1280x720
         after 8s
         ben sees ana 180
         ben sees cleo 180
         ben downlink 700k
         after 20s
         ben sees ana 360
         ben sees cleo 180",
    );
}

#[test]
fn sound_goes_on_when_no_picture_fits() {
    check(
        "ana joins video 1
         ana publishes microphone
         ana speaks
         ana publishes camera 180 360 720
         ben joins audio 1 video 1
         ben downlink 120k
         ben views ana 1280x720
         after 10s
         ben hears ana
         ben begins to be watched
         after 5s
         ben hears ana
         ben waited at most 300ms
         ben downlink 1M
         after 15s
         ben sees ana 720",
    );
}

#[test]
fn a_picture_larger_than_what_is_assumed_is_not_paused_before_anything_speaks_against_it() {
    check(
        "ana joins video 1
         ana publishes camera 720
         ben joins video 1
         ben downlink 9M
         ben views ana 1280x720
         after 300ms
         ben sees ana 720
         ben begins to be watched
         after 6s
         ben sees ana 720
         ben waited at most 150ms",
    );
}

/// A picture of 192 kbit/s takes some 207 on the wire, and the other one does not fit beside it.
#[test]
fn a_picture_that_barely_fits_does_not_come_and_go() {
    for (kbps, pauses) in [(180, 2), (200, 2), (215, 2), (230, 2), (245, 0), (260, 0), (300, 0)] {
        let stays = if pauses == 0 { "ben sees ana 180" } else { "" };
        check(&format!(
            "ana joins video 1
             ana publishes camera 180 360 720
             cleo joins video 1
             cleo publishes camera 180 360 720
             ben joins video 2
             ben downlink {kbps}k
             ben views ana 1280x720, cleo 1280x720
             after 25s
             {stays}
             ben begins to be watched
             after 40s
             {stays}
             ben was told of at most {pauses} pauses"
        ));
    }
}

#[test]
fn who_was_tried_in_vain_for_long_goes_up_as_soon_as_anybody() {
    for seconds in [60, 75, 100] {
        check(&format!(
            "ana joins video 1
             ana publishes camera 180 360 720
             ben joins video 1
             ben downlink 180k
             ben views ana 1280x720
             after {seconds}s
             ben downlink 3M
             after 20s
             ben sees ana 720"
        ));
    }
}

#[test]
fn who_is_paused_is_told_so_and_told_when_it_comes_back() {
    check(
        "ana joins video 1
         ana publishes camera 180 360 720
         cleo joins video 1
         cleo publishes camera 180 360 720
         ben joins video 2
         ben views ana 1280x720, cleo 1280x720
         ben downlink 3M
         after 5s
         ben is told that ana is not paused
         ben is told that cleo is not paused
         ben downlink 280k
         after 12s
         ben sees ana 180
         ben sees nothing of cleo
         ben is told that ana is not paused
         ben is told that cleo is paused
         ben downlink 2M
         after 30s
         ben sees cleo 720
         ben is told that cleo is not paused",
    );
}
