"""The Schema file that `firstedge init` writes."""

STARTER = """\
# How this shop names things. Every line is optional; what is commented out is the default or an
# example.

[user]
# label = "User"                 # the label of users in the graph, and their key property
# key = "id"
# profile = ["country", "age"]   # properties that tell about taste
# text = "{about}"               # a text of a user's own

[item]
# label = "Item"
# key = "id"
title = "{title}"                # what is shown
text = "{title}"                 # what is read: "{title}. {brand}. {description}"
# properties = ["price"]         # for filters
# available = "in_stock"         # a property that is true where the item can be had

[category]
# label = "Category"
# key = "id"
# name = "name"
# parent = "CHILD_OF"            # the relationship from a category to the one above it
# member = "IN_CATEGORY"         # the relationship from an item to its category

# Kinds of events. The weight is what one event says for its item, compared with other kinds; zero
# or less says nothing. Without any [kind], there are view, cart, purchase, return, rating, review
# and interest (which goes to a category).
[kind.view]
type = "VIEWED"                  # the relationship from the user
weight = 0.3

[kind.purchase]
type = "PURCHASED"

[kind.return]
type = "RETURNED"
weight = 0
cancels = "purchase"             # takes back the latest purchase of the item

[kind.interest]
type = "INTERESTED_IN"
to = "category"

# What the shop's files hold: one [[import]] a file. `firstedge import` reads them all; a file
# that was read before is skipped. CSV, TSV, Parquet, JSONL, RecBole and LightGCN files, also .gz.
#
# [[import]]
# name = "orders"
# path = "orders.csv"
# users = { id = "customer", country = "country" }
# items = { id = "sku", title = "description", price = "unit_price:float" }
# item_categories = { item = "sku", names = "category", levels = " > " }
#
# [import.events]
# user = "customer"
# target = "sku"
# time = { column = "date", format = "%d/%m/%Y %H:%M", zone = "Europe/London" }
# kind = [{ is = "return", column = "quantity", below = 0 }, { is = "purchase" }]
#
# [[import.reject]]
# name = "no customer"
# column = "customer"
# missing = true

# Defaults of the commands' options. The environment (FIRSTEDGE_STORE, ...) goes before them, and a
# flag (--store) before both.
[settings]
store = "shop.lbug"              # or "neo4j://localhost:7687"
bundle = "bundle"
# encoder = "minilm"             # or a folder, a name on the Hugging Face hub, or "none"
# cache = ".cache"
# rejects = "rejects"            # rows that an import does not take
# device = "auto"
# seed = 0
# k = 20
"""
