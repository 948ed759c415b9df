"""Countries with their cities, legal forms and names of people, for the company generator.

Each country carries names of its own, so that a seeded world holds the letters that a real one
does: umlauts, accents and CJK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Country:
    """One country: where its companies sit, how they are named and who works there.

    `roots` are written forms of company names with their Latin form for web domains.
    """

    name: str
    dialling: str
    cities: tuple[str, ...]
    legal_forms: tuple[str, ...]
    roots: tuple[tuple[str, str], ...]
    given: tuple[str, ...]
    family: tuple[str, ...]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _roots(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((word, word) for word in text.split())


_COUNTRIES = (
    Country(
        "United States",
        "+1",
        ("New York", "Chicago", "Austin", "Denver", "Seattle", "Atlanta", "Boston", "Portland"),
        ("Inc.", "LLC", "Corp.", "Group", "& Sons"),
        _roots(
            "Northgate Bluewater Redwood Silverline Ironwood Lakeshore Granite Summit Harborview "
            "Cardinal Pinecrest Stonebridge Clearwater Foxglove Meridian Copperfield Evergreen "
            "Highland Juniper Keystone Larkspur Magnolia Oakhurst Prairie Quarry Ridgeway "
            "Sagebrush Tallgrass Union Vista Westbrook Yarrow Beacon Cascade Driftwood"
        ),
        _words(
            "Emily Michael Jasmine Tyler Rachel Andre Hannah Marcus Olivia Jamal Megan Carlos "
            "Ashley Brandon Naomi Ethan Latoya Derek Alice Victor"
        ),
        _words(
            "Johnson Ramirez Carter Nguyen Brooks Patel Sullivan Washington Bennett Castillo Reed "
            "Freeman Hughes Kowalski Goldberg Foster Delgado Chambers Whitaker Monroe"
        ),
    ),
    Country(
        "Canada",
        "+1",
        ("Toronto", "Vancouver", "Montréal", "Calgary", "Québec"),
        ("Ltd.", "Inc.", "Limitée"),
        _roots("Mapleton Laurentide Boréal Skeena Fraser Huron Saguenay Klondike Okanagan Rideau"),
        _words("Chloé Liam Noémie Connor Aïcha Mathieu Heather Gurpreet Élise Owen"),
        _words("Tremblay MacDonald Gagnon Singh Côté Wilson Bélanger Campbell Roy Fortin"),
    ),
    Country(
        "Brazil",
        "+55",
        ("São Paulo", "Rio de Janeiro", "Curitiba", "Belo Horizonte"),
        ("S.A.", "Ltda."),
        _roots("Araucária Cerrado Ipê Jequitibá Pantanal Serrano Guaraná Mandacaru Tietê Aurora"),
        _words("João Beatriz Thiago Conceição Rafael Larissa Antônio Camila"),
        _words("Souza Araújo Gonçalves Magalhães Ribeiro Teixeira Assunção Moraes"),
    ),
    Country(
        "Mexico",
        "+52",
        ("Ciudad de México", "Guadalajara", "Monterrey", "Mérida"),
        ("S.A. de C.V.", "S. de R.L."),
        _roots("Anáhuac Sierra Tonalá Jalisco Cempasúchil Águila Chapala Balam Talavera Nopal"),
        _words("Sofía Andrés Ximena Héctor Lucía Joaquín Renata Iván"),
        _words("Hernández Núñez Peña Ordóñez Villaseñor Cárdenas Zúñiga Muñoz"),
    ),
    Country(
        "United Kingdom",
        "+44",
        ("London", "Manchester", "Leeds", "Bristol", "Edinburgh", "Cardiff"),
        ("Ltd", "plc", "LLP", "Holdings Ltd"),
        _roots(
            "Ashworth Pennine Thornbury Kestrel Wharfedale Hawthorne Marlow Brackenridge Severn "
            "Tamar Lindisfarne Cotswold Albion Fenwick Holloway"
        ),
        _words("Charlotte Alistair Imogen Rhys Fiona Callum Priyanka Nigel Siobhán Graham"),
        _words("Ashcroft Pemberton O'Neill Llewellyn Khan Fairfax Doyle Hargreaves Mistry Blythe"),
    ),
    Country(
        "Germany",
        "+49",
        ("Berlin", "München", "Köln", "Hamburg", "Nürnberg", "Düsseldorf", "Leipzig", "Stuttgart"),
        ("GmbH", "AG", "GmbH & Co. KG", "SE", "KG"),
        _roots(
            "Brückner Falkenstein Grünwald Hartmann Jäger Königstein Lindenhof Möbius Nordlicht "
            "Oberland Rheingold Schäffler Steinbeck Tannenberg Überland Vogelsang Weißenfels "
            "Zöllner Ahrensburg Böhmer Eichendorff Fürstenau"
        ),
        _words("Jürgen Anneliese Björn Käthe Sören Mareike Günther Ayşe Florian Heike Matthias"),
        _words("Müller Schröder Weiß Köhler Yılmaz Großmann Böttcher Krämer Lüdtke Zimmermann"),
    ),
    Country(
        "Austria",
        "+43",
        ("Wien", "Graz", "Linz", "Salzburg"),
        ("GmbH", "AG", "OG"),
        _roots("Alpenglanz Donautal Enzian Hochkönig Kärntner Salzach Semmering Wachauer Zirbitz"),
        _words("Leopold Theresia Gernot Ottokar Waltraud Lukas"),
        _words("Gruber Höllerer Steindl Wögerbauer Pichler Födermayr"),
    ),
    Country(
        "Switzerland",
        "+41",
        ("Zürich", "Genève", "Basel", "Lausanne", "Bern"),
        ("AG", "SA", "GmbH"),
        _roots("Aletsch Bernina Engadin Jungfrau Léman Matterhorn Rütli Säntis Ticino Valais"),
        _words("Beat Geneviève Reto Céline Urs Regula"),
        _words("Ammann Rochat Bürgi Favre Zürcher Niederhäuser"),
    ),
    Country(
        "France",
        "+33",
        ("Paris", "Lyon", "Nîmes", "Bordeaux", "Orléans", "Lille"),
        ("SAS", "SA", "SARL", "& Fils"),
        _roots(
            "Lefèvre Beauséjour Clairval Dauphiné Épinay Fontvieille Garonne Hérault Lumière "
            "Mistral Noirmoutier Provençale Rivière Sénéchal Valdor"
        ),
        _words("Amélie François Zoé Benoît Inès Hervé Maëlle Stéphane Hélène Ousmane"),
        _words("Lefèbvre Dubois Gérard Mbaye Châtelain Moreau Béranger Traoré Rousseau Noël"),
    ),
    Country(
        "Spain",
        "+34",
        ("Madrid", "Barcelona", "Málaga", "Sevilla", "A Coruña"),
        ("S.L.", "S.A."),
        _roots("Alcántara Cantábrico Doñana Ebro Guadiana Hispania Montaña Peñíscola Sureña Turia"),
        _words("Íñigo Begoña Raúl Nuria Álvaro Montserrat Jesús Araceli"),
        _words("Ibáñez Fernández Garzón Etxeberria Muñoz Català Peláez Quiñones"),
    ),
    Country(
        "Italy",
        "+39",
        ("Milano", "Torino", "Bologna", "Firenze", "Forlì"),
        ("S.p.A.", "S.r.l.", "& Figli"),
        _roots("Adriatica Bellavista Colleoni Fioravanti Ligure Montefiore Padana Serenissima"),
        _words("Niccolò Giulia Matteo Desirée Lorenzo Chiara Donatella Enzo"),
        _words("Esposito D'Amico Rossetti Moretti Cattaneo Nardò Bianchi Ferri"),
    ),
    Country(
        "Netherlands",
        "+31",
        ("Amsterdam", "Rotterdam", "Utrecht", "'s-Hertogenbosch", "Eindhoven"),
        ("B.V.", "N.V."),
        _roots("Amstel Duinrand Hollandse IJsselmeer Kaapstad Oranje Polder Veluwe Waddenzee"),
        _words("Daan Sanne Maarten Femke Renée Joost Anouk Thijs"),
        _words("Visser Dijkstra Bakker Jansen Oosterhuis Coenraad Meijer IJzerman"),
    ),
    Country(
        "Sweden",
        "+46",
        ("Stockholm", "Göteborg", "Malmö", "Örebro"),
        ("AB", "Handelsbolag"),
        _roots("Ängsholm Björkvik Dalarö Fjällräven Hälsinge Mälardal Norrsken Österlen Skåne"),
        _words("Åsa Björn Märta Håkan Linnéa Östen Elin Gustav"),
        _words("Ångström Sjöberg Lindström Öberg Hägglund Nyström Bergqvist Åkesson"),
    ),
    Country(
        "Poland",
        "+48",
        ("Warszawa", "Kraków", "Łódź", "Wrocław", "Gdańsk"),
        ("Sp. z o.o.", "S.A."),
        _roots("Bałtyk Jagiełło Mazury Orzeł Śląsk Tatrzański Wisła Żubr Złotnik Kłos"),
        _words("Łukasz Agnieszka Paweł Małgorzata Świętosław Kasia Michał Bożena"),
        _words("Wójcik Kowalczyk Dąbrowski Zieliński Łęcki Wiśniewska Górski Śliwa"),
    ),
    Country(
        "Japan",
        "+81",
        ("東京", "大阪", "京都", "名古屋", "福岡"),
        ("株式会社", "K.K.", "合同会社"),
        (
            ("山田製作所", "yamada-works"),
            ("桜電機", "sakura-denki"),
            ("富士見精密", "fujimi-seimitsu"),
            ("北海物流", "hokkai-logistics"),
            ("青空システム", "aozora-systems"),
            ("大和印刷", "yamato-print"),
            ("瀬戸内化学", "setouchi-chemical"),
            ("ミナト商事", "minato-shoji"),
            ("つばめ工業", "tsubame-kogyo"),
            ("Hanabishi", "hanabishi"),
            ("Kitayama", "kitayama"),
            ("Tsukimi", "tsukimi"),
        ),
        _words("陽子 健太 美咲 翔 直樹 Akiko Haruto Emi Kenji"),
        _words("佐藤 鈴木 高橋 渡辺 中村 Takahashi Ōta Kobayashi Watanabe"),
    ),
    Country(
        "South Korea",
        "+82",
        ("서울", "부산", "인천", "대전"),
        ("㈜", "Co., Ltd."),
        (
            ("한빛전자", "hanbit-electronics"),
            ("동해물산", "donghae-trading"),
            ("무궁화소프트", "mugunghwa-soft"),
            ("금강기계", "geumgang-machinery"),
            ("Saebom", "saebom"),
            ("Cheonji", "cheonji"),
            ("Taebaek", "taebaek"),
        ),
        _words("지우 민준 서연 Hyun-woo Ji-min Eun-ji Do-yun"),
        _words("김 이 박 최 Kim Choi Yoon"),
    ),
    Country(
        "Singapore",
        "+65",
        ("Singapore",),
        ("Pte. Ltd.", "Holdings"),
        _roots("Merlion Raffles Tembusu Keppel Marina Straits Orchard Temasek Kallang Angsana"),
        _words("Wei-Ling Arjun Mei Hakim Siew-Hoon Ravi Jun-Jie Nurul"),
        _words("Tan Lim Krishnan Goh Rahman Ong Teo Chandrasekaran"),
    ),
    Country(
        "Australia",
        "+61",
        ("Sydney", "Melbourne", "Brisbane", "Perth", "Adelaide"),
        ("Pty Ltd", "Limited"),
        _roots("Banksia Coorong Daintree Eucalypt Gumtree Jarrah Kimberley Nullarbor Waratah"),
        _words("Lachlan Matilda Jarrah Bronte Thanh Kirra Angus Zoe"),
        _words("McAllister Nguyen Papadopoulos Bradshaw Kelly Tran O'Connor Faulkner"),
    ),
    Country(
        "India",
        "+91",
        ("Bengaluru", "Mumbai", "Pune", "Hyderabad", "Chennai"),
        ("Pvt. Ltd.", "Ltd."),
        _roots("Ashoka Deccan Ganga Himalaya Indus Kaveri Lotus Malabar Nilgiri Sahyadri Vindhya"),
        _words("Ananya Rohan Lakshmi Vikram Fatima Sanjay Meera Karthik"),
        _words("Iyer Banerjee Deshpande Khan Reddy Mukherjee Pillai Chaudhary"),
    ),
)

COUNTRIES: Mapping[str, Country] = {country.name: country for country in _COUNTRIES}

# What a company does: the word in its name (Latin form last) and the industry a CRM files it under.
TRADES: tuple[tuple[str, str, str], ...] = (
    ("Logistics", "logistics", "Transportation"),
    ("Foods", "foods", "Food & Beverage"),
    ("Software", "software", "Technology"),
    ("Health", "health", "Healthcare"),
    ("Energy", "energy", "Energy"),
    ("Robotics", "robotics", "Manufacturing"),
    ("Capital", "capital", "Finance"),
    ("Textiles", "textiles", "Apparel"),
    ("Analytics", "analytics", "Technology"),
    ("Pharma", "pharma", "Biotechnology"),
    ("Media", "media", "Media"),
    ("Optics", "optics", "Electronics"),
    ("Freight", "freight", "Transportation"),
    ("Hotels", "hotels", "Hospitality"),
    ("Insurance", "insurance", "Insurance"),
    ("Machinery", "machinery", "Machinery"),
    ("Timber", "timber", "Construction"),
    ("Telecom", "telecom", "Telecommunications"),
    ("Education", "education", "Education"),
    ("Chemicals", "chemicals", "Chemicals"),
    ("Retail", "retail", "Retail"),
    ("Marine", "marine", "Shipping"),
    ("Aerospace", "aerospace", "Manufacturing"),
    ("Consulting", "consulting", "Consulting"),
)
