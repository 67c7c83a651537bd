# ruff: noqa: E501 -- one row per line
"""North American plates as data: name, slogans, text patterns and colours of each state (public facts)."""

from __future__ import annotations

from dataclasses import dataclass

from training.plates.layouts import BLACK, BLUE, GREEN, MAROON, NAVY, RED, WHITE, Colour


@dataclass(frozen=True, slots=True)
class State:
    """One state's plates."""

    name: str
    slogans: tuple[str, ...]
    patterns: tuple[str, ...]
    inks: tuple[Colour, ...] = (NAVY, BLACK)


STATES: tuple[State, ...] = (
    State("ALABAMA", ("Heart of Dixie", "Stars Fell On", "Sweet Home"), ("DDLDDDL", "DLDDDDL", "DDL DDDL", "DLDDDL", "DDDDDLL"), (BLUE, NAVY, RED)),
    State("ALASKA", ("The Last Frontier", "CELEBRATING STATEHOOD"), ("LLLDDD", "LLL*DDD", "DDDLLL"), (NAVY,)),
    State("ARIZONA", ("Grand Canyon State",), ("LLLDDDD", "DDDLLL", "LLL*DDDD"), (GREEN, NAVY, MAROON)),
    State("ARKANSAS", ("The Natural State",), ("DDD*LLL", "DDD LLL", "LLL DDL"), (NAVY, BLUE, BLACK)),
    State("California", ("dmv.ca.gov", "The Golden State", "1986"), ("DLLLDDD", "DLLLDDD", "DLDDDDD", "DDDDLD"), (NAVY, BLUE, MAROON)),
    State("COLORADO", ("", "PIONEER"), ("DDD*LLL", "DDD-LLL", "LLL-DDD", "LLLDDDD", "DDDLLL"), (GREEN, BLACK, WHITE)),
    State("Connecticut", ("Constitution State",), ("DDD.LLL", "DDD-LLL", "LLL.DDDD", "LL DDDDD", "DLLLLD"), (NAVY, BLACK, WHITE)),
    State("DELAWARE", ("The First State",), ("DDDDDD", "DDDDD", "{PC} DDDDDD", "DDDD"), (YELLOW_INK := (80, 200, 235), WHITE)),
    State("WASHINGTON, DC", ("TAXATION WITHOUT REPRESENTATION", "A Capital City"), ("LL*DDDD", "LL DDDD", "DDD*DDD"), (NAVY, BLUE, BLACK)),
    State("FLORIDA", ("SUNSHINE STATE", "IN GOD WE TRUST", "MYFLORIDA.COM"), ("LDD*DLL", "DDD*LLL", "LLL*DDD", "LLL*LDD", "DDDD LL", "LLL DDL"), (GREEN, NAVY)),
    State("GEORGIA", ("PEACH STATE", "Peach State", "IN GOD WE TRUST", "www.georgia.gov"), ("LLLDDDD", "LLL*DDDD", "DDDLLL", "DDDD LL"), (BLACK, NAVY)),
    State("HAWAII", ("ALOHA STATE",), ("LLL*DDD", "LLL DDD"), (BLACK,)),
    State("IDAHO", ("FAMOUS POTATOES", "Scenic Idaho"), ("DL DDDDD", "L DDDDDD", "DL LDDDD", "DDL DDDDD", "L  DDDDD", "DL*DDDDD"), (NAVY, BLUE, BLACK)),
    State("Illinois", ("Land of Lincoln", "LAND OF LINCOLN"), ("DDD DDDD", "LDD DDDD", "L DDDDDD", "DDDD DDD", "LL DDDDD"), (RED, NAVY, BLUE)),
    State("INDIANA", ("IN GOD WE TRUST", "Back Home Again", "BICENTENNIAL", "www.in.gov"), ("DDDL", "DDDLLL", "DDDLL", "DDL DDDD", "DDDL DDDD"), (NAVY, BLUE, BLACK)),
    State("IOWA", ("POLK", "LINN", "SCOTT", "STORY"), ("DDD LLL", "LLL DDD", "DDDLLL"), (BLUE, NAVY)),
    State("KANSAS", ("", "JOHNSON"), ("DDD LLL", "DDD*LLL", "DDDLLL"), (NAVY, BLACK)),
    State("Kentucky", ("BLUEGRASS STATE", "UNBRIDLED SPIRIT", "JEFFERSON"), ("DDD LLL", "DDD*LLL", "LLL DDD", "DDDLLL"), (NAVY, BLUE)),
    State("Louisiana", ("SPORTSMAN'S PARADISE", "BICENTENNIAL"), ("LLL DDD", "LDDDDDD", "DDD LLL", "LLL*DDD"), (NAVY, GREEN)),
    State("MAINE", ("Vacationland",), ("DDDD LL", "DDDDLL", "DDD LLL", "DDDD-LL"), (NAVY, GREEN, BLACK)),
    State("Maryland", ("www.maryland.gov", "TREASURE THE CHESAPEAKE", "WAR OF 1812"), ("LLL*DDD", "LLL DDD", "DLL DDDD", "DLL*DDDD", "DDLDDD"), (BLACK, GREEN)),
    State("Massachusetts", ("The Spirit of America", "PRESERVE THE TRUST"), ("DDD LLD", "DDDD LL", "DDLL DD", "DDD LLL", "DLL DDD", "DDLDDD"), (RED, NAVY)),
    State("Michigan", ("GREAT LAKES", "PURE MICHIGAN", "World's Motor Capital"), ("LLL DDDD", "DLLL DD", "LLL DDD", "LLL DDL"), (NAVY, WHITE, BLUE)),
    State("Minnesota", ("10,000 lakes", "Explore"), ("DDD-LLL", "LLL-DDD", "LLL DDD", "DDDLLL"), (NAVY, BLACK)),
    State("MISSISSIPPI", ("LAUDERDALE", "RANKIN", "HINDS", "Birthplace of America's Music"), ("DDD*LLL", "LLL*DDD", "LLL DDD", "LLDDDL"), (NAVY, GREEN, BLUE)),
    State("MISSOURI", ("SHOW-ME STATE", "Bicentennial"), ("LLD LDL", "DDD LLL", "LLL DDD", "LLD*LDL"), (BLUE, NAVY, MAROON)),
    State("MONTANA", ("BIG SKY", "Treasure State"), ("DD-DDDDL", "D-DDDDDL", "LLLDDD", "DDDDDL", "DD*DDDL"), (NAVY, WHITE, BLUE)),
    State("NEBRASKA", ("www.nebraska.gov", "The Good Life"), ("LLL DDD", "D-LDDDD", "DD-LDDD", "LLL*DDD"), (BLACK, NAVY, RED)),
    State("NEVADA", ("THE SILVER STATE", "Home Means Nevada"), ("DDD*LLL", "LLL DDD", "DDDLLL", "DDL DDD"), (NAVY, BLUE)),
    State("New Hampshire", ("LIVE FREE OR DIE", "SCENIC"), ("DDD DDDD", "DDDDDDD", "DDD DDD", "LLL DDD"), (GREEN,)),
    State("NEW JERSEY", ("Garden State",), ("LLL DDL", "LLLDDL", "LLDDDL", "LDD LLL", "LLL*DDL"), (BLACK, NAVY)),
    State("New Mexico", ("Land of Enchantment", "USA"), ("LLL DDD", "DDD*LLL", "LLL*DDD", "DDD LLL"), (RED, MAROON, YELLOW_INK)),
    State("NEW YORK", ("THE EMPIRE STATE", "EMPIRE STATE"), ("LLL DDDD", "LLL*DDDD", "DDDDLL", "LLL*DDL", "DDLLDD"), (NAVY, BLUE)),
    State("NORTH CAROLINA", ("First in Flight", "First in Freedom"), ("LLL-DDDD", "LLL DDDD", "LDD-DLL"), (BLUE, RED, NAVY)),
    State("NORTH DAKOTA", ("Peace Garden State", "Discover the Spirit", "LEGENDARY"), ("LLL DDD", "DDD LLL", "LLL*DDD"), (NAVY, RED, BLUE, BLACK)),
    State("OHIO", ("Birthplace of Aviation", "BEAUTIFUL OHIO", "THE HEART OF IT ALL"), ("LLL DDDD", "LL DD LL", "LLL*DDDD"), (NAVY, BLUE, RED)),
    State("OKLAHOMA", ("NATIVE AMERICA", "OK!", "Explore Oklahoma"), ("DDD*LLL", "LLL DDD", "DDD LLL", "LLL*DDD"), (GREEN, BLACK, RED)),
    State("Oregon", ("Pacific Wonderland", ""), ("DDD*LLL", "DDD LLL", "LLL DDD", "LLL*DDD", "DDDLLL"), (NAVY, BLACK)),
    State("PENNSYLVANIA", ("KEYSTONE STATE", "www.state.pa.us", "visitPA.com"), ("LLL*DDDD", "LLL-DDDD", "LLL DDDD"), (NAVY, BLUE)),
    State("Rhode Island", ("Ocean State",), ("LL-DDD", "DDDDDD", "DDD-DDD", "DDDDD", "DDDD", "{PC} DDDDD", "LL DD"), (NAVY, BLUE)),
    State("South Carolina", ("Smiling Faces. Beautiful Places.", "Travel2SC.com", "While I Breathe I Hope"), ("DDD LLL", "LLL*DDD", "LLLDDD", "DDDD LL"), (NAVY, BLACK, MAROON)),
    State("South Dakota", ("Great Faces. Great Places.",), ("DDL DDD", "DL DDDD", "DLD DDD", "DDLDDD", "D LDDDD"), (NAVY, RED, BLACK)),
    State("Tennessee", ("THE VOLUNTEER STATE", "SOUNDS GOOD TO ME", "Davidson"), ("DDD LLL", "LLL DDD", "LDD DDL", "DDD*LLL"), (NAVY, GREEN, BLACK)),
    State("TEXAS", ("THE LONE STAR STATE", "The Lone Star State", "State of Texas"), ("LLL*DDDD", "DDD*LLL", "LLD*LDDD", "LLL-DDDD", "LLLDDL", "DDL LLD"), (NAVY, BLUE, BLACK)),
    State("UTAH", ("LIFE ELEVATED", "GREATEST SNOW ON EARTH", "Centennial 1896"), ("DDD*LLL", "LDD DLL", "DDD LLL", "LDDDLL"), (NAVY, BLACK, RED)),
    State("Vermont", ("Green Mountain State",), ("LLL DDD", "DDDLDDD", "DDDLD", "LLLDDD"), (WHITE,)),
    State("VIRGINIA", ("400th ANNIVERSARY", "IN GOD WE TRUST", "FIGHT TERRORISM", "VIRGINIA IS FOR LOVERS"), ("LLL-DDDD", "LLL DDDD", "LL-DDDL", "DDDDLL"), (NAVY, BLUE, BLACK)),
    State("WASHINGTON", ("EVERGREEN STATE", "Evergreen State"), ("DDD-LLL", "LLLDDDD", "DDD.LLL", "LDDDDDL", "DDD*LLL"), (NAVY, BLACK)),
    State("West Virginia", ("Wild, Wonderful", "Mountain State"), ("DLL DDD", "DL DDDD", "LLL DDD", "DLL*DDD"), (NAVY, BLUE)),
    State("WISCONSIN", ("America's Dairyland",), ("DDD-LLL", "LLL-DDDD", "LLL DDD", "DDDLLL"), (RED, NAVY, BLACK)),
    State("WYOMING", ("", "Forever West"), ("D*DDDDD", "DD*DDDD", "D.DDDD", "DD DDDDL", "D*DDDD", "D.DDD", "DD-DDDD"), (BLACK, NAVY)),
    State("ONTARIO", ("YOURS TO DISCOVER",), ("LLLL*DDD", "LLL*DDD", "DDD LLL"), (BLUE, NAVY)),
    State("QUÉBEC", ("Je me souviens",), ("DDD LLL", "LDD LLL", "LLL DDD"), (BLUE, NAVY)),
)  # fmt: skip

DEALERS = (
    "MOTORS", "HONDA", "TOYOTA OF SPRINGFIELD", "www.cars.com", "FORD LINCOLN", "AUTO MALL", "CHEVROLET", "Sunset Volkswagen", "SUBARU",
    "ALUMNI", "UNIVERSITY", "My other car", "I LOVE MY DOG", "RE/MAX", "555-0134", "USED CARS", "BMW OF THE BAY", "NISSAN", "LEXUS", "STATE COLLEGE",
)  # fmt: skip
STACKS = ("TRK", "DLR", "COM", "FARM", "VET", "TRL", "PU", "MC", "APP", "PASS", "TAXI", "USA", "EX", "VOL", "FIRE")
