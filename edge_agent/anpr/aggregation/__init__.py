"""Many reads of one vehicle to one result: plate tracks, the vote, formats, colour and direction."""
