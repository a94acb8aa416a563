//! A test for every transcript in `scripts/`.

use crate::script::check;

macro_rules! transcripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                check(stringify!($name));
            }
        )*

        #[test]
        fn every_transcript_has_its_test() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/scripts");
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let mut tests = vec![$(concat!(stringify!($name), ".txt")),*];
            tests.sort_unstable();
            assert_eq!(files, tests);
        }
    };
}

transcripts! {
    windows_that_touch_do_not_put_off_the_progress_deadline
    a_rebuild_that_is_not_told_of_says_why
    one_that_is_gone_for_good_is_left_out_at_the_end
    what_goes_back_counts_against_the_failure_domains_of_other_plans
    why_a_plan_could_not_be_rolled_back_stays_known
    two_that_hang_and_are_not_in_error_yet_are_not_stopped_together
    one_that_comes_back_old_is_held_and_caught_up
    one_that_cannot_be_spared_is_parked_without_an_order
    one_that_was_left_out_is_brought_along_by_a_plan_of_its_own
    nothing_is_made_final_while_the_fleet_is_frozen
    one_that_falls_silent_while_a_plan_is_made_final_keeps_the_next_from_being_told
    one_that_fell_silent_after_it_was_done_keeps_a_plan_from_being_made_final
    one_that_came_later_keeps_a_plan_from_being_made_final
    nothing_is_made_final_while_another_plan_takes_members_back
    one_that_may_meet_what_is_there_is_not_held
    one_with_no_way_to_the_others_stays_down_until_a_person_says_otherwise
    a_coordinator_that_restarts_knows_who_is_held
    a_catching_up_that_fails_is_not_tried_for_ever
    when_the_power_went_for_all_the_few_stay_down
    a_component_loses_no_more_than_its_own_limit
    a_coordinator_that_restarts_goes_on_where_it_was
    a_draft_starts_only_against_the_fleet_it_was_computed_for
    a_forward_hop_goes_by_rebuild_when_every_other_copy_is_whole
    a_frozen_fleet_begins_nothing_new
    a_group_loses_no_more_than_max_unavailable
    a_matrix_that_changes_under_a_plan_pauses_it_at_the_stage_that_is_no_longer_allowed
    a_new_format_that_takes_hold_by_itself_waits_for_a_person_before_the_last_one
    a_plan_may_leave_the_last_word_to_a_person
    a_plan_of_two_stages_goes_through_the_version_between
    a_plan_that_cannot_be_made_final_pauses_when_all_were_told
    a_plan_that_takes_too_long_pauses_once
    a_plan_that_was_given_up_ends_though_a_node_is_lost
    a_reconfigure_restarts_only_what_differs
    a_release_for_other_platforms_only_is_told_as_such
    a_restart_goes_as_carefully_as_an_upgrade
    a_retargeted_plan_without_a_way_is_aborted
    a_rollback_that_is_given_up_has_failed
    a_share_of_each_group_goes_at_once
    a_sick_one_is_put_back_when_the_budget_has_room
    a_silent_agent_uses_up_the_budget
    a_slot_is_given_back_only_on_newer_evidence
    a_soak_that_nobody_sees_does_not_count
    a_way_back_by_rebuild_waits_until_every_other_copy_is_whole
    a_way_back_that_has_come_to_be_blocked_is_not_taken
    a_word_once_given_ends_the_ways_back_of_all_plans
    abort_finishes_what_is_in_flight_and_starts_nothing_more
    an_agent_that_knows_more_than_this_coordinator_gets_no_orders
    an_agent_that_loses_its_journal_does_it_again
    an_instance_that_its_agent_no_longer_has
    as_many_as_the_policy_says_stay_healthy
    build_metadata_makes_no_second_stop
    deadlines_pause_the_plan_and_free_no_slot
    failure_domains_are_never_down_two_at_once
    finalizing_waits_for_every_instance
    nothing_stops_before_every_host_holds_the_artifact
    of_one_group_only_one_is_rebuilt_at_a_time
    one_task_is_tried_again
    one_that_can_never_be_spared_pauses_the_plan
    one_that_cannot_be_spared_lets_others_go_first
    one_that_gets_sick_while_it_soaks_is_put_back
    one_that_is_left_out_keeps_the_plan_from_being_final
    one_that_serves_neither_release_is_parked
    one_that_was_put_back_pauses_the_plan_until_it_is_resumed
    outside_its_windows_a_plan_begins_nothing_new
    pause_on_failure_leaves_the_sick_one_as_it_is
    pause_starts_nothing_new_and_resume_goes_on
    retarget_goes_on_from_the_mixed_fleet
    rollback_is_refused_where_there_is_no_way_back
    rollback_on_failure_brings_all_of_them_back
    rollback_undoes_what_was_begun_last_stage_first
    so_many_failures_as_are_tolerated_do_not_stop_the_others
    storage_systems_are_told_that_it_is_final
    the_breaker_opens_when_many_fall_silent_at_once_and_closes_by_itself
    the_canary_goes_first_and_then_the_rest
    the_last_one_is_held_in_a_fleet_that_was_mixed_before
    the_only_copy_is_not_sent_where_the_way_back_is_a_rebuild
    the_same_request_twice_is_answered_twice_and_done_once
    the_way_back_may_fail_as_well
    the_word_is_asked_for_when_all_others_are_done
    those_that_were_changed_are_compared_before_the_next_wave
    those_that_seem_worse_are_watched_and_those_of_whom_too_little_is_known_are_told
    what_was_begun_stays_so_when_it_is_tried_again
    a_component_that_is_full_lets_what_is_down_itself_go
    whoever_is_no_longer_the_last_one_goes_on
    a_failure_that_is_tolerated_does_not_skip_the_comparison
    a_share_that_has_come_to_nothing_keeps_nobody_from_going_back
    one_that_was_parked_and_tried_again_is_rolled_back
    two_failure_domains_may_be_down_where_the_policy_says_so
    two_plans_may_not_touch_the_same_instance
    versions_in_use_elsewhere_hold_a_plan_back
    waves_grow_from_a_canary_to_all_that_is_left
    what_cannot_be_undone_begins_when_a_person_says_so
    what_is_final_by_itself_is_not_put_back_once_a_person_has_said_so
    what_is_no_longer_external_is_not_in_the_way
    what_is_not_as_predicted_pauses_the_plan
    what_makes_no_sense_is_refused_with_a_sentence
    what_nobody_has_finalized_can_be_gone_back_from
    what_waits_for_more_than_a_word_is_overdue_all_the_same
    what_was_changed_by_hand_is_not_overwritten
    what_is_broken_is_rolled_back_without_being_asked_for
    whether_it_may_stop_is_asked_of_one_of_a_group_at_a_time
    whoever_is_last_waits_for_a_word_also_when_another_was_brought_there_by_hand
}
