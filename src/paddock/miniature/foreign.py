"""Sentences in other languages, which a small share of the documents is made of.

Each language has sentences with one gap and words to fill it. None holds a word that the corpus report would count as an
English pronoun (German "her", Italian "i", Spanish "me").
"""

from __future__ import annotations

from typing import Final

FOREIGN: Final = {  # ISO 639-1 code -> (sentences, words)
    "de": (
        (
            "Heute kaufen wir Brot und {} auf dem Markt.",
            "Die Kinder spielen im Garten und sehen einen {}.",
            "Am Abend trinkt die Familie Tee und spricht über {}.",
            "Der Nachbar hat ein neues Haus und einen alten {}.",
            "Im Winter ist das Wasser im See sehr kalt.",
            "Morgen fahren die Freunde mit dem Zug in die Stadt.",
        ),
        ("Tisch", "Hund", "Fluss", "Schuh", "Baum", "Vogel"),
    ),
    "fr": (
        (
            "Le matin, nous achetons du pain et {} au marché.",
            "Les enfants jouent dans le jardin avec {}.",
            "Le soir, la famille parle longtemps avec {}.",
            "La petite maison est près de la rivière et du vieux pont.",
            "En hiver, il fait très froid dans les montagnes.",
            "Demain, les amis prennent le train pour la grande ville.",
        ),
        ("un chat", "une pomme", "le voisin", "la vache", "un fromage", "une fleur"),
    ),
    "es": (
        (
            "Hoy compramos pan y {} en el mercado.",
            "Los niños juegan en el jardín con {}.",
            "Por la noche la familia habla mucho con {}.",
            "La casa pequeña está cerca del río y del puente viejo.",
            "En invierno hace mucho frío en las montañas.",
            "Mañana los amigos viajan en tren a la ciudad grande.",
        ),
        ("un gato", "una manzana", "el vecino", "la vaca", "queso fresco", "una flor"),
    ),
    "nl": (
        (
            "Vandaag kopen wij brood en {} op de markt.",
            "De kinderen spelen in de tuin met {}.",
            "In de avond praat het gezin graag over {}.",
            "Het kleine huis staat dicht bij de rivier en de oude brug.",
            "In de winter is het water van het meer erg koud.",
            "Morgen gaan de vrienden met de trein naar de grote stad.",
        ),
        ("een kat", "een appel", "de buurman", "de koe", "verse kaas", "een bloem"),
    ),
    "sv": (
        (
            "Idag köper vi bröd och {} på torget.",
            "Barnen leker på gården med {}.",
            "På kvällen pratar familjen länge med {}.",
            "Det lilla huset ligger nära ån och den gamla bron.",
            "På vintern är vattnet vid stranden mycket kallt.",
            "Imorgon åker vännerna tåg till den stora staden.",
        ),
        ("en katt", "ett äpple", "grannen", "kon", "färsk ost", "en blomma"),
    ),
}
LANGUAGE_SHARES: Final = {"de": 0.35, "fr": 0.25, "es": 0.2, "nl": 0.1, "sv": 0.1}
"""How the foreign documents are divided among the languages."""
