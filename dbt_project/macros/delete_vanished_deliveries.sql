{# Delete the lines of deliveries that are no longer in the given relation, before a model appends
   those of new ones; nothing on a first build or a full refresh. #}
{% macro delete_vanished_deliveries(source_relation) -%}
    {%- if is_incremental() -%}
    delete from {{ this }}
    where delivery not in (select delivery from {{ source_relation }})
    {%- endif -%}
{%- endmacro %}
